// Whether a GPU can be used. This library links LibTorch's CPU half alone.
#pragma once

#include <string>

namespace rewire::ops {

// Whether this library was built with its CUDA kernels.
bool has_cuda_kernels();

// Loads LibTorch's CUDA half where the machine has a GPU. Returns why LibTorch can use none, or
// nothing. Called before anything asks LibTorch about CUDA: what it finds then, it holds for ever.
std::string load_gpu();

}  // namespace rewire::ops
