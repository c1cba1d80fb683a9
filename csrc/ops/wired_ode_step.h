// wired_ode_step: what its op hands to what computes it.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>
#include <tuple>

namespace rewire::ops {

inline constexpr const char* kWiredOdeStep = "wired_ode_step";
inline constexpr const char* kWiredOdeStepBackward = "wired_ode_step_backward";

// The arguments that forward and backward share, as the op gets them.
struct StepArguments {
  const at::Tensor& x;
  const at::Tensor& slope;
  double step;
  const at::Tensor& weight;
  at::TensorList structure;
  const at::Tensor& depthwise;
  const at::Tensor& norm_weight;
  const at::Tensor& norm_bias;
  double eps;
  std::string_view gradient;
  std::string_view execution;
  const std::optional<at::Tensor>& gradient_rates;
};

// Of y, the slope there and the middle; none for 0.
struct StepGradients {
  const std::optional<at::Tensor>& y;
  const std::optional<at::Tensor>& slope_at_y;
  const std::optional<at::Tensor>& middle;
};

// y, the slope there, the error, and the middle.
using StepOutputs = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
// Of x, slope, weight, depthwise, norm_weight and norm_bias.
using StepGradientOutputs =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// On any device: composed of ops that each has. The arguments are checked.
StepOutputs step_forward(const StepArguments& arguments, bool with_middle);
StepGradientOutputs step_backward(const StepArguments& arguments, const StepGradients& grads);

}  // namespace rewire::ops
