// wired_linear: wired_pointwise of maps of one place each. Contract: rewire.h.
#include <torch/library.h>

#include "ops/dispatch.h"
#include "ops/pointwise.h"
#include "ops/rewire.h"

namespace rewire::ops {
namespace {

using at::Tensor;

Tensor wired_linear_any(const Tensor& input, const Tensor& weight,
                        const std::optional<Tensor>& bias, const Tensor& row_offsets,
                        const Tensor& columns, const Tensor& column_offsets, const Tensor& rows,
                        const Tensor& order, std::string_view gradient, std::string_view execution,
                        const std::optional<Tensor>& gradient_rates) {
  const Tensor maps = as_maps("wired_linear", input, column_offsets);
  check_wired("wired_linear", maps, weight, bias,
              {row_offsets, columns, column_offsets, rows, order}, gradient, execution,
              gradient_rates);
  return as_lines(
      wired_pointwise(maps, weight, bias, {row_offsets, columns, column_offsets, rows, order},
                      gradient, execution, gradient_rates),
      input);
}

}  // namespace

Tensor wired_linear(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                    const Structure& s, std::string_view gradient, std::string_view execution,
                    const std::optional<Tensor>& gradient_rates) {
  static const auto op = find_op<decltype(wired_linear_any)>("rewire::wired_linear");
  return op.call(input, weight, bias, s.row_offsets, s.columns, s.column_offsets, s.rows, s.order,
                 gradient, execution, gradient_rates);
}

TORCH_LIBRARY_IMPL(rewire, CompositeImplicitAutograd, m) {
  m.impl("wired_linear", wired_linear_any);
}

}  // namespace rewire::ops
