// How the CUDA half of an op reaches its kernels.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include "kernels/cuda/stream.h"

// Opens the block that registers CUDA kernels. The tests, which compile these files against their
// emulation of CUDA, register them for a device that no tensor is on, and call them from there.
#ifdef REWIRE_EMULATE_CUDA
#define REWIRE_CUDA_LIBRARY(m) TORCH_LIBRARY_IMPL(rewire, PrivateUse1, m)
#else
#define REWIRE_CUDA_LIBRARY(m) TORCH_LIBRARY_IMPL(rewire, CUDA, m)
#endif

namespace rewire::ops {

// The current stream of the device of `tensor`, with memory from torch's allocator; a kernel runs
// on it under a c10::DeviceGuard of that device.
kernels::cuda::Stream stream_of(const at::Tensor& tensor);

}  // namespace rewire::ops
