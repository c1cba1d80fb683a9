# The target rewire::torch: LibTorch's CPU half, taken from the wheel of REWIRE_PYTHON.
# find_package(Torch) of a CUDA wheel insists on the CUDA toolkit; linking torch_cpu and c10
# directly works with and without it. The installed package includes this file too, with
# rewire_torch_built, the minor version that it accepts: of another it makes no target, and that there
# is no torch is said in torch_problem.
execute_process(
  COMMAND ${REWIRE_PYTHON} -c "import os, torch; print(os.path.dirname(torch.__file__)); print(torch.__version__)"
  OUTPUT_VARIABLE torch_found OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE torch_status
  ERROR_VARIABLE torch_error)
if(NOT torch_status EQUAL 0)
  set(torch_problem "REWIRE_PYTHON=${REWIRE_PYTHON} cannot import torch (${torch_status})")
  if(NOT rewire_torch_built)
    message(FATAL_ERROR "${torch_problem}. `make deps` installs it into .venv.\n${torch_error}")
  endif()
  return()
endif()
string(REPLACE "\n" ";" torch_found "${torch_found}")
list(GET torch_found 0 TORCH_ROOT)
list(GET torch_found 1 TORCH_VERSION)
if(NOT Rewire_FIND_QUIETLY)
  message(STATUS "torch ${TORCH_VERSION} in ${TORCH_ROOT}")
endif()
if(rewire_torch_built AND NOT TORCH_VERSION MATCHES "^${rewire_torch_built}\\.")
  return()
endif()

add_library(rewire_torch INTERFACE)
add_library(rewire::torch ALIAS rewire_torch)
target_include_directories(rewire_torch SYSTEM INTERFACE
  ${TORCH_ROOT}/include ${TORCH_ROOT}/include/torch/csrc/api/include)
target_compile_definitions(rewire_torch INTERFACE REWIRE_TORCH_VERSION="${TORCH_VERSION}")
# at::parallel_for is a template: without -fopenmp it compiles to a loop on one thread. The runtime
# is the wheel's own, never a second one.
target_compile_options(rewire_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
file(GLOB openmp_runtime ${TORCH_ROOT}/lib/libgomp*.so*)
target_link_libraries(rewire_torch INTERFACE ${openmp_runtime})
# --no-as-needed: operators register themselves while a library loads, so no symbol of it need be
# used. rpath-link: a CUDA wheel's torch_cpu needs libraries of other wheels; a system copy is older.
target_link_libraries(rewire_torch INTERFACE
  ${TORCH_ROOT}/lib/libtorch_cpu.so ${TORCH_ROOT}/lib/libc10.so)
file(GLOB wheel_libs LIST_DIRECTORIES true ${TORCH_ROOT}/../nvidia/*/lib)
foreach(folder ${wheel_libs})
  target_link_options(rewire_torch INTERFACE -Wl,-rpath-link,${folder})
endforeach()
