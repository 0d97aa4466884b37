# The program from a generated trace to a table, and what it says to mistakes. cmake -DPROGRAM=... -DFOLDER=... -P this
file(MAKE_DIRECTORY "${FOLDER}")
set(trace "${FOLDER}/trace.csv")

# expect(CODE STREAM TEXT ARGUMENTS...): it ends with CODE, and says TEXT.
function(expect code stream text)
  execute_process(COMMAND "${PROGRAM}" ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE stdout ERROR_VARIABLE stderr)
  string(FIND "${${stream}}" "${text}" found)
  if(NOT result EQUAL code OR found EQUAL -1)
    message(FATAL_ERROR "cachesim ${ARGN}: exit code ${result} where ${code} was expected, and \"${text}\" in ${stream}:\n"
                        "${stdout}\n${stderr}")
  endif()
endfunction()

execute_process(COMMAND "${PROGRAM}" generate --models 20 --requests 1000 --seed 3 OUTPUT_FILE "${trace}"
                RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "cachesim generate: exit code ${result}")
endif()

expect(0 stdout "1000 requests, 20 models, 2 seeds, closed loop" replay "${trace}" --seeds 2)
expect(0 stdout "capacity 40 % of all bytes" replay --seeds 1 --policy lru,fifo --capacity 20,40 "${trace}")
expect(0 stdout "wait s" replay "${trace}" --seeds 1 --timed --jobs 2)
expect(0 stdout "\"mode\": \"timed\"" replay "${trace}" --seeds 1 --timed --json)
expect(0 stdout "1000 requests, 20 models, 3 nodes" cluster "${trace}" --nodes 3 --memory 20)
expect(0 stdout "multiplex" cluster "${trace}" --router minerva,multiplex --speed 100)
expect(2 stderr "--router" cluster "${trace}" --router magic)
expect(1 stderr "cachesim: error: cannot read" replay "${trace}.missing")
expect(2 stderr "there is no eviction policy \"magic\"" replay "${trace}" --policy magic)
expect(2 stderr "--capacity" replay "${trace}" --capacity 101)
file(WRITE "${FOLDER}/bad.csv" "arrival_s,model,user,service_s\n0,m,u,soon\n")
expect(2 stderr "bad.csv: line 2: service_s is \"soon\"" replay "${FOLDER}/bad.csv")
