// The choice of the strongest as a mask, on a CUDA device, for the ops that have it in them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace rewire::ops {

// mask, contiguous and of the weight's shape, becomes true where an entry is among the `keep`
// strongest; nothing is checked.
void mark_strongest(const at::Tensor& weight, int64_t keep, const at::Tensor& mask);

}  // namespace rewire::ops
