# What `cmake --install` puts where: the library with its CMake package (find_package(minerva)), both programs, the man
# page, completions. The package holds what an embedding program needs: everything below `host`.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(MINERVA_ENGINE_PROGRAM "${PROJECT_SOURCE_DIR}/build/bin/minerva-engine" CACHE FILEPATH
    "minerva-engine as tools/build_engine.sh made it")

add_library(minerva_embedding INTERFACE)
set_target_properties(minerva_embedding PROPERTIES EXPORT_NAME minerva)
target_link_libraries(minerva_embedding INTERFACE minerva_host)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/minerva")
install(TARGETS minerva_embedding minerva_options minerva_base minerva_schedule minerva_cache minerva_context minerva_io minerva_conversations minerva_engine
                minerva_catalog minerva_host
        EXPORT minervaTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY include/minerva DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT minervaTargets NAMESPACE minerva:: DESTINATION "${package_dir}")
write_basic_package_version_file("${CMAKE_BINARY_DIR}/minervaConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES cmake/minervaConfig.cmake "${CMAKE_BINARY_DIR}/minervaConfigVersion.cmake" DESTINATION "${package_dir}")

install(TARGETS minerva minerva-launcher RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(CODE "
  if(NOT EXISTS \"${MINERVA_ENGINE_PROGRAM}\")
    message(FATAL_ERROR \"there is no ${MINERVA_ENGINE_PROGRAM}: `make engine` builds it\")
  endif()")
install(PROGRAMS "${MINERVA_ENGINE_PROGRAM}" DESTINATION "${CMAKE_INSTALL_BINDIR}")

# Written by the program itself, so that they cannot differ from it.
set(generated_dir "${CMAKE_BINARY_DIR}/generated")
file(MAKE_DIRECTORY "${generated_dir}")
set(generated "${generated_dir}/minerva.1" "${generated_dir}/minerva" "${generated_dir}/_minerva"
    "${generated_dir}/minerva.fish")
add_custom_command(OUTPUT ${generated}
  COMMAND minerva manual > "${generated_dir}/minerva.1"
  COMMAND minerva completion bash > "${generated_dir}/minerva"
  COMMAND minerva completion zsh > "${generated_dir}/_minerva"
  COMMAND minerva completion fish > "${generated_dir}/minerva.fish"
  DEPENDS minerva VERBATIM)
add_custom_target(minerva_generated ALL DEPENDS ${generated})
install(FILES "${generated_dir}/minerva.1" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
install(FILES "${generated_dir}/minerva" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")
install(FILES "${generated_dir}/_minerva" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions")
install(FILES "${generated_dir}/minerva.fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
