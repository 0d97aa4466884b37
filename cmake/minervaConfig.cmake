# find_package(minerva) gives the target minerva::minerva: include/minerva/ and what it needs.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(fmt)
find_dependency(OpenSSL)
find_dependency(date)
find_dependency(spdlog)
find_dependency(tl-expected)
include("${CMAKE_CURRENT_LIST_DIR}/minervaTargets.cmake")
