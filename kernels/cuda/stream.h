// Where kernels are queued. For callers that include no CUDA header.
#pragma once

#include <cstddef>
#include <functional>

struct CUstream_st;
using cudaStream_t = CUstream_st*;

namespace rewire::kernels::cuda {

// A stream of the current device. scratch(bytes) gives device memory, aligned to 16 bytes at least
// and not initialized, that is there until what is queued with it has run.
struct Stream {
  cudaStream_t handle;
  std::function<void*(size_t bytes)> scratch;
};

}  // namespace rewire::kernels::cuda
