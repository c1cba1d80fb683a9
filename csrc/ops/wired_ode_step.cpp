// wired_ode_step: one step of Dormand and Prince's pair, of which backward is given the start alone
// and computes the rest anew. Contract: rewire.h.
#include "ops/wired_ode_step.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <vector>

#include "ops/check.h"
#include "ops/dispatch.h"
#include "ops/product.h"
#include "ops/wired_blocks.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Argument = std::optional<Tensor>;

void check_step(const char* op, const StepArguments& a) {
  check_floating(op, "x", a.x);
  TORCH_CHECK(a.x.dim() == 4, op, ": expected x of shape [batch, channels, height, width], got ",
              a.x.sym_sizes());
  check_shape(op, "slope", a.slope, a.x.sym_sizes(), a.x);
  const c10::SymInt channels = a.x.sym_size(1);
  std::vector<c10::SymInt> square{channels, channels};
  if (a.weight.dim() == 4) square.insert(square.end(), {1, 1});
  check_shape(op, "weight", a.weight, square, a.x);
  check_structures(op, a.weight, a.structure);
  check_shape(op, "depthwise", a.depthwise, {channels, 1, 3, 3}, a.x);
  check_shape(op, "norm_weight", a.norm_weight, {channels}, a.x);
  check_shape(op, "norm_bias", a.norm_bias, {channels}, a.x);
  check_gradient(op, a.gradient, a.gradient_rates, a.weight);
  check_execution(op, a.execution);
}

StepOutputs step_meta(const Tensor& x, const Tensor& slope, double step, const Tensor& weight,
                      at::TensorList structure, const Tensor& depthwise, const Tensor& norm_weight,
                      const Tensor& norm_bias, double eps, std::string_view gradient,
                      std::string_view execution, const Argument& gradient_rates,
                      bool with_middle) {
  check_step(kWiredOdeStep, {x, slope, step, weight, structure, depthwise, norm_weight, norm_bias,
                             eps, gradient, execution, gradient_rates});
  const auto like_x = [&] { return at::empty_symint(x.sym_sizes(), x.options()); };
  return {like_x(), like_x(), like_x(), with_middle ? like_x() : at::empty({0}, x.options())};
}

StepOutputs step_any(const Tensor& x, const Tensor& slope, double step, const Tensor& weight,
                     at::TensorList structure, const Tensor& depthwise, const Tensor& norm_weight,
                     const Tensor& norm_bias, double eps, std::string_view gradient,
                     std::string_view execution, const Argument& gradient_rates, bool with_middle) {
  const StepArguments arguments{x,           slope,     step, weight,   structure, depthwise,
                                norm_weight, norm_bias, eps,  gradient, execution, gradient_rates};
  check_step(kWiredOdeStep, arguments);
  return step_forward(arguments, with_middle);
}

void check_step_backward(const StepArguments& arguments, const StepGradients& grads) {
  const char* op = kWiredOdeStepBackward;
  check_step(op, arguments);
  const Tensor& x = arguments.x;
  if (grads.y) check_shape(op, "grad_y", *grads.y, x.sym_sizes(), x);
  if (grads.slope_at_y) check_shape(op, "grad_slope_at_y", *grads.slope_at_y, x.sym_sizes(), x);
  if (grads.middle) check_shape(op, "grad_middle", *grads.middle, x.sym_sizes(), x);
}

StepGradientOutputs step_backward_meta(const Argument& grad_y, const Argument& grad_slope_at_y,
                                       const Argument& grad_middle, const Tensor& x,
                                       const Tensor& slope, double step, const Tensor& weight,
                                       at::TensorList structure, const Tensor& depthwise,
                                       const Tensor& norm_weight, const Tensor& norm_bias,
                                       double eps, std::string_view gradient,
                                       std::string_view execution, const Argument& gradient_rates) {
  check_step_backward({x, slope, step, weight, structure, depthwise, norm_weight, norm_bias, eps,
                       gradient, execution, gradient_rates},
                      {grad_y, grad_slope_at_y, grad_middle});
  const auto like = [](const Tensor& t) { return at::empty_symint(t.sym_sizes(), t.options()); };
  return {like(x), like(slope), like(weight), like(depthwise), like(norm_weight), like(norm_bias)};
}

StepGradientOutputs step_backward_any(const Argument& grad_y, const Argument& grad_slope_at_y,
                                      const Argument& grad_middle, const Tensor& x,
                                      const Tensor& slope, double step, const Tensor& weight,
                                      at::TensorList structure, const Tensor& depthwise,
                                      const Tensor& norm_weight, const Tensor& norm_bias,
                                      double eps, std::string_view gradient,
                                      std::string_view execution, const Argument& gradient_rates) {
  const StepArguments arguments{x,           slope,     step, weight,   structure, depthwise,
                                norm_weight, norm_bias, eps,  gradient, execution, gradient_rates};
  const StepGradients grads{grad_y, grad_slope_at_y, grad_middle};
  check_step_backward(arguments, grads);
  return step_backward(arguments, grads);
}

StepGradientOutputs wired_ode_step_backward(const Argument& grad_y, const Argument& grad_slope_at_y,
                                            const Argument& grad_middle, const Tensor& x,
                                            const Tensor& slope, double step, const Tensor& weight,
                                            at::TensorList structure, const Tensor& depthwise,
                                            const Tensor& norm_weight, const Tensor& norm_bias,
                                            double eps, std::string_view gradient,
                                            std::string_view execution,
                                            const Argument& gradient_rates) {
  static const auto op = find_op<decltype(step_backward_any)>("rewire::wired_ode_step_backward");
  return op.call(grad_y, grad_slope_at_y, grad_middle, x, slope, step, weight, structure, depthwise,
                 norm_weight, norm_bias, eps, gradient, execution, gradient_rates);
}

struct OdeStep : torch::autograd::Function<OdeStep> {
  static constexpr size_t kArguments = 13;

  static variable_list forward(AutogradContext* ctx, const Tensor& x, const Tensor& slope,
                               double step, const Tensor& weight,
                               const std::vector<Tensor>& structure, const Tensor& depthwise,
                               const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                               std::string_view gradient, std::string_view execution,
                               const Argument& gradient_rates, bool with_middle) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [y, slope_at_y, error, middle] =
        wired_ode_step(x, slope, step, weight, structure, depthwise, norm_weight, norm_bias, eps,
                       gradient, execution, gradient_rates, with_middle);
    variable_list saved{
        x, slope, weight, depthwise, norm_weight, norm_bias, gradient_rates.value_or(Tensor())};
    saved.insert(saved.end(), structure.begin(), structure.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["step"] = step;
    ctx->saved_data["eps"] = eps;
    ctx->saved_data["gradient"] = std::string(gradient);
    ctx->saved_data["execution"] = std::string(execution);
    ctx->mark_non_differentiable(with_middle ? variable_list{error} : variable_list{error, middle});
    ctx->set_materialize_grads(false);
    return {y, slope_at_y, error, middle};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    variable_list results(kArguments);
    const auto given = [&](size_t i) {
      return grads[i].defined() ? Argument(grads[i]) : std::nullopt;
    };
    const Argument grad_y = given(0), grad_slope_at_y = given(1), grad_middle = given(3);
    if (!grad_y && !grad_slope_at_y && !grad_middle) return results;
    const variable_list saved = ctx->get_saved_variables();
    const std::vector<Tensor> structure(saved.begin() + 7, saved.end());
    auto& data = ctx->saved_data;
    const auto [x, slope, weight, depthwise, norm_weight, norm_bias] = wired_ode_step_backward(
        grad_y, grad_slope_at_y, grad_middle, saved[0], saved[1], data["step"].toDouble(), saved[2],
        structure, saved[3], saved[4], saved[5], data["eps"].toDouble(),
        data["gradient"].toStringRef(), data["execution"].toStringRef(),
        saved[6].defined() ? Argument(saved[6]) : Argument());
    results[0] = x;
    results[1] = slope;
    results[3] = weight;
    results[5] = depthwise;
    results[6] = norm_weight;
    results[7] = norm_bias;
    return results;
  }
};

StepOutputs step_autograd(const Tensor& x, const Tensor& slope, double step, const Tensor& weight,
                          at::TensorList structure, const Tensor& depthwise,
                          const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                          std::string_view gradient, std::string_view execution,
                          const Argument& gradient_rates, bool with_middle) {
  const auto out = OdeStep::apply(x, slope, step, weight, structure.vec(), depthwise, norm_weight,
                                  norm_bias, eps, gradient, execution, gradient_rates, with_middle);
  return {out[0], out[1], out[2], out[3]};
}

// Its derivative is not there: better no answer than 0.
struct OdeStepBackward : torch::autograd::Function<OdeStepBackward> {
  template <typename... Arguments>
  static variable_list forward(AutogradContext*, const Arguments&... arguments) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto grads = wired_ode_step_backward(arguments...);
    return {std::get<0>(grads), std::get<1>(grads), std::get<2>(grads),
            std::get<3>(grads), std::get<4>(grads), std::get<5>(grads)};
  }

  static variable_list backward(AutogradContext*, const variable_list&) {
    TORCH_CHECK(false, kWiredOdeStepBackward, ": has no derivative: wired_ode_step can be ",
                "differentiated once");
  }
};

StepGradientOutputs step_backward_autograd(const Argument& grad_y, const Argument& grad_slope_at_y,
                                           const Argument& grad_middle, const Tensor& x,
                                           const Tensor& slope, double step, const Tensor& weight,
                                           at::TensorList structure, const Tensor& depthwise,
                                           const Tensor& norm_weight, const Tensor& norm_bias,
                                           double eps, std::string_view gradient,
                                           std::string_view execution,
                                           const Argument& gradient_rates) {
  const auto grads = OdeStepBackward::apply(grad_y, grad_slope_at_y, grad_middle, x, slope, step,
                                            weight, structure, depthwise, norm_weight, norm_bias,
                                            eps, gradient, execution, gradient_rates);
  return {grads[0], grads[1], grads[2], grads[3], grads[4], grads[5]};
}

}  // namespace

StepOutputs wired_ode_step(const Tensor& x, const Tensor& slope, double step, const Tensor& weight,
                           at::TensorList structure, const Tensor& depthwise,
                           const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                           std::string_view gradient, std::string_view execution,
                           const Argument& gradient_rates, bool with_middle) {
  static const auto op = find_op<decltype(step_any)>("rewire::wired_ode_step");
  return op.call(x, slope, step, weight, structure, depthwise, norm_weight, norm_bias, eps,
                 gradient, execution, gradient_rates, with_middle);
}

TORCH_LIBRARY_IMPL(rewire, CompositeExplicitAutograd, m) {
  m.impl("wired_ode_step", step_any);
  m.impl("wired_ode_step_backward", step_backward_any);
}
TORCH_LIBRARY_IMPL(rewire, Meta, m) {
  m.impl("wired_ode_step", step_meta);
  m.impl("wired_ode_step_backward", step_backward_meta);
}
TORCH_LIBRARY_IMPL(rewire, Autograd, m) {
  m.impl("wired_ode_step", step_autograd);
  m.impl("wired_ode_step_backward", step_backward_autograd);
}

}  // namespace rewire::ops
