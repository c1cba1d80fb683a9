// Whether a GPU can be used. This library links LibTorch's CPU half alone.
#pragma once

namespace rewire::ops {

// Whether this library was built with its CUDA kernels.
bool has_cuda_kernels();

// Loads LibTorch's CUDA half, unless the machine has no GPU or that half is loaded. Returns whether
// LibTorch can use one now.
bool load_gpu();

}  // namespace rewire::ops
