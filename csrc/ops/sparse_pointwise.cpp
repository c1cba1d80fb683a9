// sparse_pointwise: a layer of which the edges in use alone are stored. Contract: rewire.h.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/dispatch.h"
#include "ops/pointwise.h"
#include "ops/product.h"
#include "ops/rewire.h"
#include "ops/structure.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Bias = std::optional<Tensor>;
using EdgeGradients = std::tuple<Tensor, Tensor>;

constexpr const char* kOp = "sparse_pointwise";
constexpr const char* kBackward = "sparse_pointwise_backward";

double density(const Structure& s) {
  const double candidates =
      double(s.row_offsets.numel() - 1) * double(s.column_offsets.numel() - 1);
  return candidates == 0 ? 0 : double(s.columns.numel()) / candidates;
}

Tensor forward_cpu(const Tensor& input, const Tensor& values, const Bias& bias,
                   const Tensor& row_offsets, const Tensor& columns, const Tensor& column_offsets,
                   const Tensor& rows, const Tensor& order, std::string_view execution) {
  Structure s{row_offsets, columns, column_offsets, rows, order};
  check_pointwise(kOp, input, values, bias, s, execution);
  s = contiguous(s);
  check_edges(kOp, s);
  return as_output(product(maps_of(input), summable(values), bias ? summable(*bias) : Bias(), s,
                           resolve_execution(execution, density(s), at::kCPU, input.scalar_type())),
                   input);
}

// Elsewhere the product is dense, whatever `execution` says.
Tensor forward_any(const Tensor& input, const Tensor& values, const Bias& bias,
                   const Tensor& row_offsets, const Tensor& columns, const Tensor& column_offsets,
                   const Tensor& rows, const Tensor& order, std::string_view execution) {
  const Structure s{row_offsets, columns, column_offsets, rows, order};
  check_pointwise(kOp, input, values, bias, s, execution);
  return composed(input, values, bias, s);
}

Tensor forward_meta(const Tensor& input, const Tensor& values, const Bias& bias,
                    const Tensor& row_offsets, const Tensor& columns, const Tensor& column_offsets,
                    const Tensor& rows, const Tensor& order, std::string_view execution) {
  const Structure s{row_offsets, columns, column_offsets, rows, order};
  check_pointwise(kOp, input, values, bias, s, execution);
  return at::empty_symint(output_sizes(input, s), input.options());
}

// A gradient that is not asked for is empty.
EdgeGradients backward_cpu(const Tensor& grad_output, const Tensor& input, const Tensor& values,
                           const Tensor& row_offsets, const Tensor& columns,
                           const Tensor& column_offsets, const Tensor& rows, const Tensor& order,
                           bool to_input, bool to_values, std::string_view execution) {
  Structure s{row_offsets, columns, column_offsets, rows, order};
  check_pointwise_backward(grad_output, input, values, s, execution);
  s = contiguous(s);
  check_edges(kBackward, s);
  // The input is read for the values alone.
  const auto grads = product_backward(
      maps_of(grad_output), to_values ? maps_of(input) : in_maps(input), summable(values), s,
      to_input, to_values, resolve_execution(execution, density(s), at::kCPU, input.scalar_type()));
  return {to_input ? as_output(grads.input, input) : at::empty({0}, input.options()),
          to_values ? grads.values.to(values.scalar_type()) : at::empty({0}, values.options())};
}

EdgeGradients backward_any(const Tensor& grad_output, const Tensor& input, const Tensor& values,
                           const Tensor& row_offsets, const Tensor& columns,
                           const Tensor& column_offsets, const Tensor& rows, const Tensor& order,
                           bool to_input, bool to_values, std::string_view execution) {
  const Structure s{row_offsets, columns, column_offsets, rows, order};
  check_pointwise_backward(grad_output, input, values, s, execution);
  return composed_backward(grad_output, input, values, s, to_input, to_values);
}

EdgeGradients backward_meta(const Tensor& grad_output, const Tensor& input, const Tensor& values,
                            const Tensor& row_offsets, const Tensor& columns,
                            const Tensor& column_offsets, const Tensor& rows, const Tensor& order,
                            bool to_input, bool to_values, std::string_view execution) {
  check_pointwise_backward(grad_output, input, values,
                           {row_offsets, columns, column_offsets, rows, order}, execution);
  return {to_input ? at::empty_symint(input.sym_sizes(), input.options())
                   : at::empty({0}, input.options()),
          to_values ? at::empty_symint(values.sym_sizes(), values.options())
                    : at::empty({0}, values.options())};
}

// What of a call the two autograd functions below keep for their backward.
void save(AutogradContext* ctx, variable_list tensors, const Structure& s,
          std::string_view execution) {
  for (const Tensor& t : {s.row_offsets, s.columns, s.column_offsets, s.rows, s.order}) {
    tensors.push_back(t);
  }
  ctx->save_for_backward(std::move(tensors));
  ctx->saved_data["execution"] = std::string(execution);
}

Structure saved_structure(const variable_list& saved) {
  const size_t first = saved.size() - 5;
  return {saved[first], saved[first + 1], saved[first + 2], saved[first + 3], saved[first + 4]};
}

Tensor defined(const Tensor& gradient, bool asked) { return asked ? gradient : Tensor(); }

struct SparsePointwise : torch::autograd::Function<SparsePointwise> {
  static Tensor forward(AutogradContext* ctx, const Tensor& input, const Tensor& values,
                        const Bias& bias, const Structure& s, std::string_view execution) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    save(ctx, {input, values}, s, execution);
    ctx->saved_data["bias"] = bias.has_value();
    return sparse_pointwise(input, values, bias, s, execution);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const bool to_input = ctx->needs_input_grad(0), to_values = ctx->needs_input_grad(1);
    const bool bias = ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2);
    const auto [grad_input, grad_values] =
        sparse_pointwise_backward(grads[0], saved[0], saved[1], saved_structure(saved), to_input,
                                  to_values, ctx->saved_data["execution"].toStringRef());
    return {defined(grad_input, to_input), defined(grad_values, to_values),
            bias ? grad_of_bias(grads[0]) : Tensor(), Tensor(), Tensor()};
  }
};

// Bilinear, so that its derivatives are the same products of other pairs.
struct SparsePointwiseBackward : torch::autograd::Function<SparsePointwiseBackward> {
  static variable_list forward(AutogradContext* ctx, const Tensor& grad_output, const Tensor& input,
                               const Tensor& values, const Structure& s, bool to_input,
                               bool to_values, std::string_view execution) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    save(ctx, {grad_output, input, values}, s, execution);
    ctx->saved_data["to_input"] = to_input;
    ctx->saved_data["to_values"] = to_values;
    const auto [grad_input, grad_values] =
        sparse_pointwise_backward(grad_output, input, values, s, to_input, to_values, execution);
    return {grad_input, grad_values};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &grad_output = saved[0], &input = saved[1], &values = saved[2];
    const Structure s = saved_structure(saved);
    const std::string execution = ctx->saved_data["execution"].toStringRef();
    Tensor to_grad, to_input, to_values;
    if (ctx->saved_data["to_input"].toBool()) {
      to_grad = sparse_pointwise(grads[0], values, std::nullopt, s, execution);
      to_values = std::get<1>(
          sparse_pointwise_backward(grad_output, grads[0], values, s, false, true, execution));
    }
    if (ctx->saved_data["to_values"].toBool()) {
      const Tensor more = sparse_pointwise(input, grads[1], std::nullopt, s, execution);
      to_grad = to_grad.defined() ? to_grad + more : more;
      to_input = std::get<0>(
          sparse_pointwise_backward(grad_output, input, grads[1], s, true, false, execution));
    }
    return {to_grad, to_input, to_values, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor sparse_forward_autograd(const Tensor& input, const Tensor& values, const Bias& bias,
                               const Tensor& row_offsets, const Tensor& columns,
                               const Tensor& column_offsets, const Tensor& rows,
                               const Tensor& order, std::string_view execution) {
  return SparsePointwise::apply(
      input, values, bias, Structure{row_offsets, columns, column_offsets, rows, order}, execution);
}

EdgeGradients sparse_backward_autograd(const Tensor& grad_output, const Tensor& input,
                                       const Tensor& values, const Tensor& row_offsets,
                                       const Tensor& columns, const Tensor& column_offsets,
                                       const Tensor& rows, const Tensor& order, bool to_input,
                                       bool to_values, std::string_view execution) {
  const auto grads = SparsePointwiseBackward::apply(
      grad_output, input, values, Structure{row_offsets, columns, column_offsets, rows, order},
      to_input, to_values, execution);
  return {grads[0], grads[1]};
}

}  // namespace

Tensor sparse_pointwise(const Tensor& input, const Tensor& values, const Bias& bias,
                        const Structure& s, std::string_view execution) {
  static const auto op = find_op<decltype(forward_cpu)>("rewire::sparse_pointwise");
  return op.call(input, values, bias, s.row_offsets, s.columns, s.column_offsets, s.rows, s.order,
                 execution);
}

EdgeGradients sparse_pointwise_backward(const Tensor& grad_output, const Tensor& input,
                                        const Tensor& values, const Structure& s, bool to_input,
                                        bool to_values, std::string_view execution) {
  static const auto op = find_op<decltype(backward_cpu)>("rewire::sparse_pointwise_backward");
  return op.call(grad_output, input, values, s.row_offsets, s.columns, s.column_offsets, s.rows,
                 s.order, to_input, to_values, execution);
}

TORCH_LIBRARY_IMPL(rewire, CPU, m) {
  m.impl("sparse_pointwise", forward_cpu);
  m.impl("sparse_pointwise_backward", backward_cpu);
}
TORCH_LIBRARY_IMPL(rewire, Meta, m) {
  m.impl("sparse_pointwise", forward_meta);
  m.impl("sparse_pointwise_backward", backward_meta);
}
TORCH_LIBRARY_IMPL(rewire, CompositeExplicitAutograd, m) {
  m.impl("sparse_pointwise", forward_any);
  m.impl("sparse_pointwise_backward", backward_any);
}
TORCH_LIBRARY_IMPL(rewire, Autograd, m) {
  m.impl("sparse_pointwise", sparse_forward_autograd);
  m.impl("sparse_pointwise_backward", sparse_backward_autograd);
}

}  // namespace rewire::ops
