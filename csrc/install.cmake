# cmake --install: the library, its public headers as <rewire/ops.h>, <rewire/graph.h> and <rewire/nn.h>,
# and the package that find_package(Rewire) finds. The tree may be moved: the library looks for what it needs in its own
# folder, and who loads it has loaded torch. Nobody need have loaded the CUDA runtime: that of torch's
# wheel is looked for where it was at build time. A wheel (REWIRE_BUNDLE) carries its own copies of what
# is not torch's, and finds torch and CUDA where pip puts them: two folders up, beside rewire/lib.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Rewire)

# A copy of a shared library, under the name that it is loaded by, with what its package says of its licence.
function(rewire_bundle target)
  get_target_property(configuration ${target} IMPORTED_CONFIGURATIONS)
  get_target_property(file ${target} IMPORTED_LOCATION_${configuration})
  get_target_property(name ${target} IMPORTED_SONAME_${configuration})
  file(REAL_PATH ${file} file)
  install(FILES ${file} RENAME ${name} DESTINATION ${CMAKE_INSTALL_LIBDIR})
  string(REGEX REPLACE "\\.so\\." "" package ${name})  # Debian's name: libyaml-cpp0.7
  install(FILES /usr/share/doc/${package}/copyright RENAME ${name}.txt DESTINATION licenses OPTIONAL)
endfunction()

set(library_rpath "$ORIGIN")
if(REWIRE_BUNDLE)
  list(APPEND library_rpath "$ORIGIN/../../torch/lib")
  if(WITH_CUDA)
    cmake_path(GET cuda_runtime PARENT_PATH cuda_runtime_folder)
    cmake_path(RELATIVE_PATH cuda_runtime_folder BASE_DIRECTORY ${TORCH_ROOT}/.. OUTPUT_VARIABLE cuda_folder)
    list(APPEND library_rpath "$ORIGIN/../../${cuda_folder}")
  endif()
  foreach(bundled hwy::hwy yaml-cpp)
    rewire_bundle(${bundled})
  endforeach()
  install(FILES data/digits/digits.csv.gz data/digits/README.md DESTINATION demo)  # what the demo learns
elseif(WITH_CUDA)
  cmake_path(GET cuda_runtime PARENT_PATH cuda_runtime_folder)
  list(APPEND library_rpath ${cuda_runtime_folder})
endif()
set_target_properties(rewire_library PROPERTIES EXPORT_NAME rewire INSTALL_RPATH "${library_rpath}")
target_include_directories(rewire_library PUBLIC $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(TARGETS rewire_library EXPORT RewireTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
# Public headers, which there name each other as <rewire/X.h>.
set(public_headers ops/rewire.h ops.h graph/neuron_graph.h graph.h models/neuron_graph.h nn.h)
set(renamed ${public_headers})
while(public_headers)
  list(POP_FRONT public_headers header name)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
  file(READ ${header} text)
  set(pairs ${renamed})
  while(pairs)
    list(POP_FRONT pairs from to)
    string(REPLACE "\"${from}\"" "<rewire/${to}>" text "${text}")
  endwhile()
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/include/rewire/${name} CONTENT "${text}" @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/include/rewire/${name} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/rewire)
endwhile()
install(EXPORT RewireTargets NAMESPACE Rewire:: DESTINATION ${package_folder})

configure_package_config_file(RewireConfig.cmake.in ${PROJECT_BINARY_DIR}/RewireConfig.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/RewireConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/RewireConfig.cmake ${PROJECT_BINARY_DIR}/RewireConfigVersion.cmake
  ${CMAKE_CURRENT_SOURCE_DIR}/ops/torch.cmake DESTINATION ${package_folder})
