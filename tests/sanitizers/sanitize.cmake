# REWIRE_SANITIZE=address (with undefined behaviour) or thread, as `make sanitize` and
# `make sanitize-threads` set it: everything is compiled with it, and tests link options.cpp.
# LibTorch is not instrumented: what it does inside is not seen. nvcc knows no sanitizer; the CUDA
# kernels are compiled for the tests' emulation all the same.
set(REWIRE_CUDA off)
# Sources of csrc eight at a time, which halves the compiling: names in the anonymous
# namespaces of a room are its own.
set(CMAKE_UNITY_BUILD ON)
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")  # fast enough; g1: the lines of a backtrace
# GCC's manual: with sanitizers, -Wmaybe-uninitialized warns of what cannot happen (std::regex here).
add_compile_options(-fno-omit-frame-pointer -Wno-maybe-uninitialized)
# Debian's other libraries need nothing for this: it checks indices where they are used.
add_compile_definitions(_GLIBCXX_ASSERTIONS)
# Sanitizers keep notes of every byte, and keep what was freed for a while: a test that bounds memory
# multiplies with this.
add_compile_definitions(REWIRE_MEMORY_FACTOR=8)
if(REWIRE_SANITIZE STREQUAL "address")
  # vptr asks for the type information of LibTorch's hidden classes, which cannot be linked.
  set(sanitizers -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined)
  add_compile_options(${sanitizers})
  add_link_options(${sanitizers})
elseif(REWIRE_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread -Wl,--wrap=GOMP_parallel)
  add_library(rewire_openmp_order STATIC ${CMAKE_CURRENT_LIST_DIR}/openmp_order.cpp)
  link_libraries($<BUILD_INTERFACE:rewire_openmp_order>)
else()
  message(FATAL_ERROR "REWIRE_SANITIZE=${REWIRE_SANITIZE}: expected address or thread")
endif()
set(REWIRE_SANITIZER_OPTIONS ${CMAKE_CURRENT_LIST_DIR}/options.cpp)
