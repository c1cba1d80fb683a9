#include "ops/product.h"

#include "ops/dense_product.h"
#include "ops/sparse_columns.h"
#include "ops/structure.h"

namespace rewire::ops {
namespace {

using at::Tensor;

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
