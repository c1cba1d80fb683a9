// sparse_linear: sparse_pointwise of maps of one place each. Contract: rewire.h.
#include <torch/library.h>

#include "ops/dispatch.h"
#include "ops/pointwise.h"
#include "ops/rewire.h"

namespace rewire::ops {
namespace {

using at::Tensor;

Tensor sparse_linear_any(const Tensor& input, const Tensor& values,
                         const std::optional<Tensor>& bias, const Tensor& row_offsets,
                         const Tensor& columns, const Tensor& column_offsets, const Tensor& rows,
                         const Tensor& order, std::string_view execution) {
  const Tensor maps = as_maps("sparse_linear", input, column_offsets);
  check_pointwise("sparse_linear", maps, values, bias,
                  {row_offsets, columns, column_offsets, rows, order}, execution);
  return as_lines(sparse_pointwise(maps, values, bias,
                                   {row_offsets, columns, column_offsets, rows, order}, execution),
                  input);
}

}  // namespace

Tensor sparse_linear(const Tensor& input, const Tensor& values, const std::optional<Tensor>& bias,
                     const Structure& s, std::string_view execution) {
  static const auto op = find_op<decltype(sparse_linear_any)>("rewire::sparse_linear");
  return op.call(input, values, bias, s.row_offsets, s.columns, s.column_offsets, s.rows, s.order,
                 execution);
}

TORCH_LIBRARY_IMPL(rewire, CompositeImplicitAutograd, m) {
  m.impl("sparse_linear", sparse_linear_any);
}

}  // namespace rewire::ops
