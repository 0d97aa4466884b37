# Succeeds if the simulator notices BUG: exit code 1 and the name of the broken invariant. A crash does not count.
execute_process(COMMAND "${PROGRAM}" --bug ${BUG} --seeds ${SEEDS} RESULT_VARIABLE code OUTPUT_VARIABLE output
                ERROR_VARIABLE output)
if(NOT code EQUAL 1 OR NOT output MATCHES "broken invariant: ([^\n]+)")
  message(FATAL_ERROR "the bug ${BUG} went unnoticed in ${SEEDS} schedules (exit code ${code})\n${output}")
endif()
message(STATUS "${BUG}: ${CMAKE_MATCH_1}")
