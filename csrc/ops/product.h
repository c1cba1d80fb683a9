// Products of a batch of maps with the edges of a layer on the CPU, which sparse_pointwise and
// wired_pointwise share: the work split over threads, sparse or dense.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

#include "ops/rewire.h"

namespace rewire::ops {

// An op's `execution` as it is carried out.
enum class Execution { kSparse, kDense };

// `auto` becomes what is faster on that device for a layer of which `density` in [0, 1] is in use.
// Rates of both ways on the CPU are measured once a process; on a GPU, measuring would wait for it.
Execution resolve_execution(std::string_view execution, double density, at::Device device,
                            at::ScalarType dtype);
// execution is one of those words.
void check_execution(const char* op, std::string_view execution);

// All tensors contiguous, on the CPU, float32 or float64; the structure's edges checked.
//   input [batch, in, places], values [edges], bias [out] -> [batch, out, places]
at::Tensor product(const at::Tensor& input, const at::Tensor& values,
                   const std::optional<at::Tensor>& bias, const Structure& structure,
                   Execution execution);
// What is not asked for is undefined. grad [batch, out, places]
struct ProductGradients {
  at::Tensor input;   // [batch, in, places]
  at::Tensor values;  // [edges]
};
ProductGradients product_backward(const at::Tensor& grad, const at::Tensor& input,
                                  const at::Tensor& values, const Structure& structure,
                                  bool to_input, bool to_values, Execution execution);

}  // namespace rewire::ops
