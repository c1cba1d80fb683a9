# cmake --install: the library, its one public header as <rewire/ops.h>, and the package that
# find_package(Rewire) finds. The tree may be moved: the library looks for what it needs in its own
# folder, and who loads it has loaded torch. Nobody need have loaded the CUDA runtime: that of torch's
# wheel is looked for where it was at build time.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Rewire)

set(library_rpath "$ORIGIN")
if(WITH_CUDA)
  cmake_path(GET cuda_runtime PARENT_PATH cuda_runtime_folder)
  list(APPEND library_rpath ${cuda_runtime_folder})
endif()
set_target_properties(rewire_library PROPERTIES EXPORT_NAME rewire INSTALL_RPATH "${library_rpath}")
target_include_directories(rewire_library PUBLIC $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(TARGETS rewire_library EXPORT RewireTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${CMAKE_CURRENT_SOURCE_DIR}/ops/rewire.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/rewire RENAME ops.h)
install(EXPORT RewireTargets NAMESPACE Rewire:: DESTINATION ${package_folder})

configure_package_config_file(RewireConfig.cmake.in ${PROJECT_BINARY_DIR}/RewireConfig.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/RewireConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/RewireConfig.cmake ${PROJECT_BINARY_DIR}/RewireConfigVersion.cmake
  ${CMAKE_CURRENT_SOURCE_DIR}/ops/torch.cmake DESTINATION ${package_folder})
