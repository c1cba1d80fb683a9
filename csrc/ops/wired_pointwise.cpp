// wired_pointwise: a layer of which the structure names the candidates in use. Contract: rewire.h.
//
// Composed of ops that every device has: the edges' weights are read from the candidates, and what
// follows is sparse_pointwise. Only `all` needs a gradient of its own, which is dense.
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/check.h"
#include "ops/dispatch.h"
#include "ops/pointwise.h"
#include "ops/product.h"
#include "ops/rewire.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Bias = std::optional<Tensor>;

Tensor forward_any(const Tensor& input, const Tensor& weight, const Bias& bias,
                   const Tensor& row_offsets, const Tensor& columns, const Tensor& column_offsets,
                   const Tensor& rows, const Tensor& order, std::string_view gradient,
                   std::string_view execution) {
  check_wired("wired_pointwise", input, weight, bias,
              {row_offsets, columns, column_offsets, rows, order}, gradient, execution);
  return sparse_pointwise(input, edge_values(weight, row_offsets, columns), bias,
                          {row_offsets, columns, column_offsets, rows, order}, execution);
}

// The gradient `all`: straight-through to every candidate.
struct WiredPointwise : torch::autograd::Function<WiredPointwise> {
  static Tensor forward(AutogradContext* ctx, const Tensor& input, const Tensor& weight,
                        const Bias& bias, const Structure& s, std::string_view execution) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    ctx->save_for_backward(
        {input, weight, s.row_offsets, s.columns, s.column_offsets, s.rows, s.order});
    ctx->saved_data["execution"] = std::string(execution);
    ctx->saved_data["bias"] = bias.has_value();
    return wired_pointwise(input, weight, bias, s, "all", execution);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &input = saved[0], &weight = saved[1];
    const Structure s{saved[2], saved[3], saved[4], saved[5], saved[6]};
    Tensor grad_input, grad_weight, grad_bias;
    if (ctx->needs_input_grad(0)) {
      const Tensor values = edge_values(weight, s.row_offsets, s.columns);
      grad_input = std::get<0>(sparse_pointwise_backward(
          grads[0], input, values, s, true, false, ctx->saved_data["execution"].toStringRef()));
    }
    if (ctx->needs_input_grad(1)) {
      grad_weight = grad_of_candidates(grads[0], input).view_symint(weight.sym_sizes());
    }
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2))
      grad_bias = grad_of_bias(grads[0]);
    return {grad_input, grad_weight, grad_bias, Tensor(), Tensor()};
  }
};

Tensor forward_autograd(const Tensor& input, const Tensor& weight, const Bias& bias,
                        const Tensor& row_offsets, const Tensor& columns,
                        const Tensor& column_offsets, const Tensor& rows, const Tensor& order,
                        std::string_view gradient, std::string_view execution) {
  if (gradient == "all") {
    return WiredPointwise::apply(input, weight, bias,
                                 Structure{row_offsets, columns, column_offsets, rows, order},
                                 execution);
  }
  return forward_any(input, weight, bias, row_offsets, columns, column_offsets, rows, order,
                     gradient, execution);
}

}  // namespace

Tensor wired_pointwise(const Tensor& input, const Tensor& weight, const Bias& bias,
                       const Structure& s, std::string_view gradient, std::string_view execution) {
  static const auto op = find_op<decltype(forward_any)>("rewire::wired_pointwise");
  return op.call(input, weight, bias, s.row_offsets, s.columns, s.column_offsets, s.rows, s.order,
                 gradient, execution);
}

TORCH_LIBRARY_IMPL(rewire, CompositeExplicitAutograd, m) { m.impl("wired_pointwise", forward_any); }
TORCH_LIBRARY_IMPL(rewire, Autograd, m) { m.impl("wired_pointwise", forward_autograd); }

}  // namespace rewire::ops
