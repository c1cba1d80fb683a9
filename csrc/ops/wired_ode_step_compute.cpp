// wired_ode_step's arithmetic, forward and backward.
#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>

#include <array>
#include <span>
#include <vector>

#include "ops/pointwise.h"
#include "ops/wired_blocks_on.h"
#include "ops/wired_ode_step.h"

namespace rewire::ops {
namespace {

using at::Tensor;

constexpr size_t kStages = 6;  // evaluations of a step; its first slope is an argument
constexpr size_t kSlopes = kStages + 1;

using Weights = std::array<double, kSlopes>;  // of the slopes
constexpr std::array<Weights, kStages> kStageWeights = {{
    {1.0 / 5},
    {3.0 / 40, 9.0 / 40},
    {44.0 / 45, -56.0 / 15, 32.0 / 9},
    {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
    {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
    {35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84},
}};
// Not the textbook's: those of torchdiffeq 0.2, as the published code has it. So are the middle's.
constexpr Weights kErrorWeights = {35.0 / 384 - 1951.0 / 21600,
                                   0,
                                   500.0 / 1113 - 22642.0 / 50085,
                                   125.0 / 192 - 451.0 / 720,
                                   -2187.0 / 6784 + 12231.0 / 42400,
                                   11.0 / 84 - 649.0 / 6300,
                                   -1.0 / 60};
constexpr Weights kMiddleWeights = {
    6025192743.0 / 30085553152 / 2,     0,
    51252292925.0 / 65400821598 / 2,    -2691868925.0 / 45128329728 / 2,
    187940372067.0 / 1594534317056 / 2, -1776094331.0 / 19743644256 / 2,
    11237099.0 / 235043384 / 2};

// sum over i of slopes[i] weights[i]
Tensor mix(std::span<const Tensor> slopes, const Weights& weights) {
  Tensor total = at::mul(slopes[0], weights[0]);
  for (size_t i = 1; i < slopes.size(); ++i) {
    if (weights[i] != 0) total.add_(slopes[i], weights[i]);
  }
  return total;
}

// sum += alpha t, where an undefined sum is 0.
void add_to(Tensor& sum, const Tensor& t, double alpha = 1) {
  if (sum.defined()) {
    sum.add_(t, alpha);
  } else {
    sum = at::mul(t, alpha);
  }
}

// An evaluation of the derivative, with what its gradient needs.
struct Evaluation {
  Tensor x;
  Tensor state;  // of wired_blocks
  Tensor sent;   // what the wired layer gives
  Tensor mean;   // of each of its maps
  Tensor scale;  // 1 / sqrt(variance + eps)
  Tensor slope;
};

struct ParameterGradients {
  Tensor weight, depthwise, norm_weight, norm_bias;
};

// f(x) = instance norm of the wired layer of the depthwise convolution of max(x, 0).
class Derivative {
 public:
  explicit Derivative(const StepArguments& a)
      : weight_(summable(a.weight)),
        structure_(a.structure),
        depthwise_(summable(a.depthwise)),
        norm_weight_(summable(a.norm_weight)),
        norm_bias_(summable(a.norm_bias)),
        eps_(a.eps),
        gradient_(a.gradient),
        execution_(a.execution),
        ones_(at::ones_like(norm_weight_)),
        zeros_(at::zeros_like(norm_weight_)) {
    if (a.gradient_rates) rates_ = summable(*a.gradient_rates);
  }

  Evaluation operator()(const Tensor& x) const {
    const auto [sent, no_mean, no_variance, state] =
        wired_blocks(x, weight_, structure_, depthwise_, ones_, zeros_, zeros_, ones_, {}, {},
                     "given", 0, gradient_, execution_, rates_, 1, false);
    const int64_t batch = x.size(0);
    const auto [slope, mean, scale] =
        at::native_batch_norm(as_channels(sent), norm_weight_.repeat({batch}),
                              norm_bias_.repeat({batch}), {}, {}, true, 0, eps_);
    return {x, state, sent, mean, scale, slope.view(x.sizes())};
  }

  // The gradient to x of an evaluation; those to the parameters are added to `grads`.
  Tensor backward(const Evaluation& at, const Tensor& grad_slope, ParameterGradients& grads) const {
    const int64_t batch = at.x.size(0), channels = at.x.size(1);
    const auto [grad_sent, of_norm_weight, of_norm_bias] = at::native_batch_norm_backward(
        as_channels(grad_slope), as_channels(at.sent), norm_weight_.repeat({batch}), {}, {},
        at.mean, at.scale, true, eps_, {true, true, true});
    const auto [grad_x, of_weight, of_depthwise, of_ones, of_zeros] = wired_blocks_backward(
        grad_sent.view(at.x.sizes()), weight_, structure_, depthwise_, ones_, zeros_, zeros_, ones_,
        at.state, at.x, {}, {}, "given", 0, gradient_, execution_, rates_, 1);
    grads.norm_weight.add_(of_norm_weight.view({batch, channels}).sum(0));
    grads.norm_bias.add_(of_norm_bias.view({batch, channels}).sum(0));
    grads.weight.add_(of_weight);
    grads.depthwise.add_(of_depthwise);
    return grad_x;
  }

  ParameterGradients no_gradients() const {
    return {at::zeros_like(weight_), at::zeros_like(depthwise_), at::zeros_like(norm_weight_),
            at::zeros_like(norm_bias_)};
  }

 private:
  // Each map as a channel of one image: a norm by image is a norm by channel then.
  static Tensor as_channels(const Tensor& t) {
    return t.contiguous().view({1, t.size(0) * t.size(1), t.size(2), t.size(3)});
  }

  Tensor weight_;
  at::TensorList structure_;
  Tensor depthwise_, norm_weight_, norm_bias_;
  double eps_;
  std::string_view gradient_, execution_;
  std::optional<Tensor> rates_;
  Tensor ones_, zeros_;
};

// Those of a step, of which backward needs all.
std::vector<Evaluation> evaluations_of(const StepArguments& a, const Derivative& derivative) {
  const Tensor x = summable(a.x);
  std::vector<Tensor> slopes{summable(a.slope)};
  std::vector<Evaluation> evaluations;
  for (const Weights& weights : kStageWeights) {
    evaluations.push_back(derivative(at::add(x, mix(slopes, weights), a.step)));
    slopes.push_back(std::move(evaluations.back().slope));
  }
  return evaluations;
}

}  // namespace

StepOutputs step_forward(const StepArguments& a, bool with_middle) {
  const auto result = [&](const Tensor& t) { return t.to(a.x.scalar_type()); };
  const Tensor none = at::empty({0}, a.x.options());
  if (a.x.numel() == 0) {
    const auto empty = [&] { return at::empty(a.x.sizes(), a.x.options()); };
    return {empty(), empty(), empty(), with_middle ? empty() : none};
  }
  const Derivative derivative(a);
  const Tensor x = summable(a.x);
  std::vector<Tensor> slopes{summable(a.slope)};
  Tensor y;
  for (const Weights& weights : kStageWeights) {
    y = at::add(x, mix(slopes, weights), a.step);
    slopes.push_back(derivative(y).slope);
  }
  const Tensor error = mix(slopes, kErrorWeights).mul_(a.step);
  return {result(y), result(slopes[kStages]), result(error),
          with_middle ? result(at::add(x, mix(slopes, kMiddleWeights), a.step)) : none};
}

StepGradientOutputs step_backward(const StepArguments& a, const StepGradients& grads) {
  const Derivative derivative(a);
  ParameterGradients of_parameters = derivative.no_gradients();
  Tensor grad_x = at::zeros(a.x.sizes(), of_parameters.weight.options());
  std::vector<Tensor> grad_slopes(kSlopes);
  grad_slopes[0] = at::zeros_like(grad_x);
  std::vector<Evaluation> evaluations =
      a.x.numel() == 0 ? std::vector<Evaluation>() : evaluations_of(a, derivative);
  if (grads.slope_at_y) add_to(grad_slopes[kStages], summable(*grads.slope_at_y));
  if (grads.middle) {
    const Tensor grad = summable(*grads.middle);
    grad_x.add_(grad);
    for (size_t i = 0; i < kSlopes; ++i) {
      if (kMiddleWeights[i] != 0) add_to(grad_slopes[i], grad, a.step * kMiddleWeights[i]);
    }
  }
  for (; !evaluations.empty(); evaluations.pop_back()) {
    const size_t stage = evaluations.size();  // its slope's place among all
    Tensor grad;                              // of the place where the derivative was evaluated
    if (stage == kStages && grads.y) add_to(grad, summable(*grads.y));
    if (grad_slopes[stage].defined()) {
      add_to(grad, derivative.backward(evaluations.back(), grad_slopes[stage], of_parameters));
      grad_slopes[stage].reset();
    }
    if (!grad.defined()) continue;
    grad_x.add_(grad);
    const Weights& weights = kStageWeights[stage - 1];
    for (size_t i = 0; i < stage; ++i) {
      if (weights[i] != 0) add_to(grad_slopes[i], grad, a.step * weights[i]);
    }
  }
  const auto result = [](const Tensor& grad, const Tensor& of) {
    return grad.to(of.scalar_type()).view(of.sizes());
  };
  return {result(grad_x, a.x),
          result(grad_slopes[0], a.slope),
          result(of_parameters.weight, a.weight),
          result(of_parameters.depthwise, a.depthwise),
          result(of_parameters.norm_weight, a.norm_weight),
          result(of_parameters.norm_bias, a.norm_bias)};
}

}  // namespace rewire::ops
