#include "ops/cuda/product.h"

#include <ATen/Dispatch.h>

#include "kernels/cuda/sparse_product.h"
#include "ops/cuda/stream.h"

namespace rewire::ops::cuda {
namespace {

using at::Tensor;

// By output, or, transposed, by input.
template <typename T>
kernels::cuda::Edges<T> edges_of(const Structure& s, const Part& part, bool transposed) {
  if (transposed) {
    return {.first_target = part.first_column,
            .num_targets = part.num_columns,
            .first_source = part.first_row,
            .num_sources = part.num_rows,
            .offsets = s.column_offsets.const_data_ptr<int32_t>(),
            .sources = s.rows.const_data_ptr<int32_t>(),
            .order = s.order.const_data_ptr<int32_t>()};
  }
  return {.first_target = part.first_row,
          .num_targets = part.num_rows,
          .first_source = part.first_column,
          .num_sources = part.num_columns,
          .offsets = s.row_offsets.const_data_ptr<int32_t>(),
          .sources = s.columns.const_data_ptr<int32_t>()};
}

}  // namespace

Part whole(const Structure& s) {
  return {.num_rows = s.row_offsets.numel() - 1, .num_columns = s.column_offsets.numel() - 1};
}

void multiply(const Edges& edges, const Tensor& source, const std::optional<Tensor>& bias,
              bool accumulate, const Tensor& out) {
  if (out.numel() == 0) return;
  AT_DISPATCH_FLOATING_TYPES(source.scalar_type(), "product", [&] {
    auto weighted = edges_of<scalar_t>(edges.structure, edges.part, edges.transposed);
    weighted.values = edges.values.const_data_ptr<scalar_t>();
    kernels::cuda::sparse_product<scalar_t>(
        weighted, {out.size(0), out.size(2)}, source.const_data_ptr<scalar_t>(),
        bias ? bias->const_data_ptr<scalar_t>() : nullptr, accumulate,
        out.mutable_data_ptr<scalar_t>(), stream_of(out));
  });
}

void grad_edges(const Structure& structure, const Part& part, const Tensor& source,
                const Tensor& grad, const Tensor& grad_values) {
  if (grad_values.numel() == 0 || part.num_rows == 0) return;
  AT_DISPATCH_FLOATING_TYPES(source.scalar_type(), "product_grad_values", [&] {
    kernels::cuda::sparse_product_grad_edges<scalar_t>(
        edges_of<scalar_t>(structure, part, false), grad_values.numel(),
        {source.size(0), source.size(2)}, source.const_data_ptr<scalar_t>(),
        grad.const_data_ptr<scalar_t>(), grad_values.mutable_data_ptr<scalar_t>(), stream_of(grad));
  });
}

}  // namespace rewire::ops::cuda
