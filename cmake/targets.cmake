# One library per folder of src/, and one unit-test program per folder that has *_test.cc beside its sources.

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)

add_library(minerva_options INTERFACE)
# Whoever uses the installed library gets its public headers, and is spared our warnings.
set_target_properties(minerva_options PROPERTIES EXPORT_NAME options)
target_compile_features(minerva_options INTERFACE cxx_std_20)
target_include_directories(minerva_options INTERFACE
  "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>"
  "$<INSTALL_INTERFACE:include>")
target_compile_options(minerva_options INTERFACE
  "$<BUILD_INTERFACE:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wno-sign-conversion;-Wnon-virtual-dtor;-Wold-style-cast;-Werror>")

option(MINERVA_UNITY "compile several sources of a target at once: a first build takes a third of the time" OFF)

# Names in unnamed namespaces may not be twice in one target, as several of its sources are compiled as one. A name that
# hides another's is no fault there: `make check` compiles them one by one, and warns of those.
set(CMAKE_UNITY_BUILD ${MINERVA_UNITY})
set(CMAKE_UNITY_BUILD_BATCH_SIZE 12)
if(MINERVA_UNITY)
  target_compile_options(minerva_options INTERFACE "$<BUILD_INTERFACE:-Wno-shadow>")
endif()

# minerva_library(FOLDER SOURCES a.cc b.cc [DEPS minerva_base ...])
function(minerva_library folder)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_library(minerva_${folder} STATIC ${arg_SOURCES})
  set_target_properties(minerva_${folder} PROPERTIES EXPORT_NAME ${folder})
  target_link_libraries(minerva_${folder} PUBLIC minerva_options fmt::fmt Threads::Threads ${arg_DEPS})
endfunction()

# minerva_unit_test(FOLDER SOURCES a_test.cc ... [DEPS ...]): links minerva_FOLDER.
function(minerva_unit_test folder)
  if(NOT MINERVA_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${folder}_test ${arg_SOURCES})
  target_link_libraries(${folder}_test PRIVATE minerva_${folder} ${arg_DEPS} GTest::gtest GTest::gtest_main)
  include(GoogleTest)
  gtest_discover_tests(${folder}_test TEST_PREFIX "${folder}." DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 300)
  minerva_fresh_boot_test(${folder}_test)
endfunction()

# minerva_fresh_boot_test(PROGRAM): all its tests once more, with a steady clock that starts near zero.
function(minerva_fresh_boot_test program)
  add_test(NAME fresh_boot.${program} COMMAND "${PROJECT_SOURCE_DIR}/tests/fresh_boot.sh" "$<TARGET_FILE:fresh_boot>"
           "$<TARGET_FILE:${program}>" --gtest_brief=1)
  set_tests_properties(fresh_boot.${program} PROPERTIES TIMEOUT 300)
endfunction()
