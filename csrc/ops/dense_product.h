// Dense products of a batch of maps on the CPU, split over threads: the gradient of all candidates,
// and layers of which most edges are in use.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace rewire::ops {

// All tensors contiguous, on the CPU, float32 or float64.

// input [batch, in, places], weight [out, in], bias [out] -> [batch, out, places]
at::Tensor multiply_dense(const at::Tensor& input, const at::Tensor& weight,
                          const std::optional<at::Tensor>& bias);

// grad [batch, out, places], input [batch, in, places] -> [out, in]: the sum over batch and places
// of grad times input.
at::Tensor grad_weight_dense(const at::Tensor& grad, const at::Tensor& input);

}  // namespace rewire::ops
