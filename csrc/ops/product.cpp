#include "ops/product.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "ops/sparse_columns.h"
#include "ops/structure.h"

namespace rewire::ops {
namespace {

using at::Tensor;

// The dense layer that torch itself is fastest with: weight [out, in]. In the dtype of its
// arguments, as the sparse one is, under autocast too.
Tensor multiply_dense(const Tensor& input, const Tensor& weight,
                      const std::optional<Tensor>& bias) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (input.size(2) == 1) {
    return at::linear(input.squeeze(2), weight, bias.value_or(Tensor())).unsqueeze(2);
  }
  return at::conv2d(input.unsqueeze(3), weight.view({weight.size(0), weight.size(1), 1, 1}),
                    bias.value_or(Tensor()))
      .squeeze(3);
}

// grad [batch, out, places], input [batch, in, places] -> [out, in]
Tensor grad_weight_dense(const Tensor& grad, const Tensor& input) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (input.size(2) == 1) return at::mm(grad.squeeze(2).t(), input.squeeze(2));
  // The weight gradient asks for the weight's shape alone.
  const Tensor weight = at::empty({grad.size(1), input.size(1), 1, 1}, input.options());
  return std::get<1>(at::convolution_backward(grad.unsqueeze(3), input.unsqueeze(3), weight,
                                              at::OptionalIntArrayRef(), {1, 1}, {0, 0}, {1, 1},
                                              false, {0, 0}, 1, {false, true, false}))
      .flatten(1);
}

// What torch's convolutions refuse.
bool is_empty(const Tensor& maps, const Structure& structure) {
  return maps.numel() == 0 || structure.row_offsets.numel() == 1 ||
         structure.column_offsets.numel() == 1;
}

}  // namespace

Tensor product(const Tensor& input, const Tensor& values, const std::optional<Tensor>& bias,
               const Structure& structure, Execution execution) {
  if (execution == Execution::kSparse || is_empty(input, structure)) {
    return multiply_sparse(by_output(structure), input, values, nullptr, bias);
  }
  return multiply_dense(input,
                        edge_matrix(values, structure.row_offsets, structure.columns,
                                    structure.column_offsets.numel() - 1),
                        bias);
}

ProductGradients product_backward(const Tensor& grad, const Tensor& input, const Tensor& values,
                                  const Structure& structure, bool to_input, bool to_values,
                                  Execution execution) {
  if (execution == Execution::kSparse || is_empty(input, structure)) {
    return backward_sparse(grad, input, values, structure, to_input, to_values);
  }
  ProductGradients gradients;
  if (to_input) {
    const Tensor weight = edge_matrix(values, structure.row_offsets, structure.columns,
                                      structure.column_offsets.numel() - 1);
    gradients.input = multiply_dense(grad, weight.t().contiguous(), std::nullopt);
  }
  if (to_values) {
    gradients.values =
        edge_values(grad_weight_dense(grad, input), structure.row_offsets, structure.columns);
  }
  return gradients;
}

}  // namespace rewire::ops
