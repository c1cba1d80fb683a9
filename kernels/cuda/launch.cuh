// The one way to CUDA: what kernels use of it comes through this header, and every launch goes
// through launch(). With REWIRE_EMULATE_CUDA the same sources compile as C++ for the host, against
// the emulation of the tests.
//
// A kernel's shared memory is one struct, of which it gets a reference by shared<T>(); its launch
// asks for sizeof(T). Nothing in it is initialized.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#ifdef REWIRE_EMULATE_CUDA
#include "support/cuda/emulation.h"
#else
#include <cuda_runtime.h>
#endif

namespace rewire::kernels::cuda {

#ifdef REWIRE_EMULATE_CUDA

using emulation::launch;
using emulation::launch_together;
using emulation::multiprocessors;
using emulation::shared;
using emulation::zero;

#else

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
}

template <typename T>
__device__ T& shared() {
  extern __shared__ __align__(16) unsigned char bytes[];
  return *reinterpret_cast<T*>(bytes);
}

// Of the current device.
inline int64_t multiprocessors() {
  int device = 0, count = 0;
  check(cudaGetDevice(&device), "device");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "multiprocessors");
  return count;
}

template <typename... Parameters, typename... Arguments>
void launch_with(bool together, void (*kernel)(Parameters...), int64_t grid, int block,
                 size_t shared_bytes, cudaStream_t stream, Arguments... arguments) {
  if (grid < 1 || grid > INT32_MAX) {
    throw std::invalid_argument("CUDA: a launch of " + std::to_string(grid) + " blocks");
  }
  constexpr size_t kAlwaysThere = 48 << 10;  // more shared memory than this must be asked for
  if (shared_bytes > kAlwaysThere) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "shared memory");
  }
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(grid));
  config.blockDim = dim3(static_cast<unsigned>(block));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = together ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...),
        "kernel launch");
}

// Runs `kernel` on `stream`; the caller has made the stream's device current. Returns before the
// kernel has run: an error of the launch is thrown here, one of the kernel shows at a later call.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), int64_t grid, int block, size_t shared_bytes,
            cudaStream_t stream, Arguments... arguments) {
  launch_with(false, kernel, grid, block, shared_bytes, stream, arguments...);
}

// The same with all blocks on the device at once, so that they may wait for one another; an error
// where they do not fit.
template <typename... Parameters, typename... Arguments>
void launch_together(void (*kernel)(Parameters...), int64_t grid, int block, size_t shared_bytes,
                     cudaStream_t stream, Arguments... arguments) {
  launch_with(true, kernel, grid, block, shared_bytes, stream, arguments...);
}

inline void zero(void* memory, size_t bytes, cudaStream_t stream) {
  check(cudaMemsetAsync(memory, 0, bytes, stream), "memset");
}

#endif

}  // namespace rewire::kernels::cuda
