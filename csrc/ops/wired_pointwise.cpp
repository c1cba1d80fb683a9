// wired_pointwise: a layer of which the structure names the candidates in use. Contract: rewire.h.
//
// Composed of ops that every device has: the edges' weights are read from the candidates, and what
// follows is sparse_pointwise. A gradient to more than the edges is straight-through.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
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
using Given = std::optional<Tensor>;

Tensor wired_forward_any(const Tensor& input, const Tensor& weight, const Given& bias,
                         const Tensor& row_offsets, const Tensor& columns,
                         const Tensor& column_offsets, const Tensor& rows, const Tensor& order,
                         std::string_view gradient, std::string_view execution,
                         const Given& gradient_rates) {
  const Structure s{row_offsets, columns, column_offsets, rows, order};
  check_wired("wired_pointwise", input, weight, bias, s, gradient, execution, gradient_rates);
  return sparse_pointwise(input, edge_values(weight, row_offsets, columns), bias, s, execution);
}

// Gradients `all`, which has no rates, and `candidates`.
struct StraightThrough : torch::autograd::Function<StraightThrough> {
  static Tensor forward(AutogradContext* ctx, const Tensor& input, const Tensor& weight,
                        const Given& bias, const Structure& s, std::string_view gradient,
                        std::string_view execution, const Given& gradient_rates) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    ctx->save_for_backward({input, weight, s.row_offsets, s.columns, s.column_offsets, s.rows,
                            s.order, gradient_rates.value_or(Tensor())});
    ctx->saved_data["execution"] = std::string(execution);
    ctx->saved_data["bias"] = bias.has_value();
    return wired_pointwise(input, weight, bias, s, gradient, execution, gradient_rates);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &input = saved[0], &weight = saved[1], &rates = saved[7];
    const Structure s{saved[2], saved[3], saved[4], saved[5], saved[6]};
    const bool to_input = ctx->needs_input_grad(0), to_weight = ctx->needs_input_grad(1);
    const bool to_bias = ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2);
    const bool to_edges = to_weight && rates.defined();
    Tensor grad_input, grad_edges, grad_weight;
    if (to_input || to_edges) {
      std::tie(grad_input, grad_edges) = sparse_pointwise_backward(
          grads[0], input, edge_values(weight, s.row_offsets, s.columns), s, to_input, to_edges,
          ctx->saved_data["execution"].toStringRef());
    }
    if (to_edges) {
      const auto at_edges = [&](const Tensor& values) {
        return edge_matrix(values, s.row_offsets, s.columns, weight.sym_size(1));
      };
      const Tensor is_edge = at_edges(at::ones_like(grad_edges).detach()) != 0;
      grad_weight =
          at::where(is_edge, at_edges(grad_edges), candidate_gradient(grads[0], input, rates));
    } else if (to_weight) {
      grad_weight = candidate_gradient(grads[0], input);
    }
    return {to_input ? grad_input : Tensor(),
            to_weight ? grad_weight.view_symint(weight.sym_sizes()) : Tensor(),
            to_bias ? grad_of_bias(grads[0]) : Tensor(),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor()};
  }
};

Tensor wired_forward_autograd(const Tensor& input, const Tensor& weight, const Given& bias,
                              const Tensor& row_offsets, const Tensor& columns,
                              const Tensor& column_offsets, const Tensor& rows, const Tensor& order,
                              std::string_view gradient, std::string_view execution,
                              const Given& gradient_rates) {
  if (gradient == "kept") {
    return wired_forward_any(input, weight, bias, row_offsets, columns, column_offsets, rows, order,
                             gradient, execution, gradient_rates);
  }
  return StraightThrough::apply(input, weight, bias,
                                Structure{row_offsets, columns, column_offsets, rows, order},
                                gradient, execution, gradient_rates);
}

}  // namespace

Tensor wired_pointwise(const Tensor& input, const Tensor& weight, const Given& bias,
                       const Structure& s, std::string_view gradient, std::string_view execution,
                       const Given& gradient_rates) {
  static const auto op = find_op<decltype(wired_forward_any)>("rewire::wired_pointwise");
  return op.call(input, weight, bias, s.row_offsets, s.columns, s.column_offsets, s.rows, s.order,
                 gradient, execution, gradient_rates);
}

TORCH_LIBRARY_IMPL(rewire, CompositeExplicitAutograd, m) {
  m.impl("wired_pointwise", wired_forward_any);
}
TORCH_LIBRARY_IMPL(rewire, Autograd, m) { m.impl("wired_pointwise", wired_forward_autograd); }

}  // namespace rewire::ops
