// The op wired_blocks and its backward on a device: what every device checks and converts alike.
#pragma once

#include <ATen/ops/empty.h>

#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "ops/check.h"
#include "ops/pointwise.h"
#include "ops/wired_blocks.h"

namespace rewire::ops {

using BlocksOutputs = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using BlocksGradientOutputs =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// The op rewire::wired_blocks_backward.
BlocksGradientOutputs wired_blocks_backward(
    const at::Tensor& grad_output, const at::Tensor& weight, at::TensorList structure,
    const at::Tensor& depthwise, const at::Tensor& norm_weight, const at::Tensor& norm_bias,
    const at::Tensor& mean, const at::Tensor& variance, const at::Tensor& state,
    const at::Tensor& input, at::IntArrayRef ends, at::IntArrayRef targets, std::string_view norm,
    double eps, std::string_view gradient, std::string_view execution,
    const std::optional<at::Tensor>& gradient_rates, int64_t entry_stride);

template <typename Device>
BlocksOutputs forward_on(const at::Tensor& input, const at::Tensor& weight,
                         at::TensorList structure, const at::Tensor& depthwise,
                         const at::Tensor& norm_weight, const at::Tensor& norm_bias,
                         const std::optional<at::Tensor>& mean,
                         const std::optional<at::Tensor>& variance, at::IntArrayRef ends,
                         at::IntArrayRef targets, std::string_view norm, double eps,
                         std::string_view gradient, std::string_view execution,
                         const std::optional<at::Tensor>& gradient_rates, int64_t entry_stride,
                         bool keep_state) {
  const BlocksArguments arguments{weight,    structure,      depthwise,   norm_weight, norm_bias,
                                  ends,      targets,        norm,        eps,         gradient,
                                  execution, gradient_rates, entry_stride};
  check_wired_blocks(arguments, input, mean, variance);
  BlocksCall call = call_of(arguments, input.size(1));
  call.keep_state = keep_state;
  Device::resolve(kWiredBlocks, execution, call);
  const auto given = [&](const std::optional<at::Tensor>& statistics) {
    return statistics ? summable(*statistics) : at::Tensor();
  };
  const BlocksOutput results =
      is_empty(call, StateLayout(call, input))
          ? empty_output(call, input)
          : Device::forward(call, summable(input), given(mean), given(variance));
  // Given statistics are an argument: no output may be one.
  const at::Tensor none = at::empty({0}, results.state.options());
  return {results.output.to(input.scalar_type()), mean ? none : results.mean,
          variance ? none.clone() : results.variance, results.state};
}

// mean, variance and state are those that forward returned, or was given.
template <typename Device>
BlocksGradientOutputs backward_on(
    const at::Tensor& grad_output, const at::Tensor& weight, at::TensorList structure,
    const at::Tensor& depthwise, const at::Tensor& norm_weight, const at::Tensor& norm_bias,
    const at::Tensor& mean, const at::Tensor& variance, const at::Tensor& state,
    const at::Tensor& input, at::IntArrayRef ends, at::IntArrayRef targets, std::string_view norm,
    double eps, std::string_view gradient, std::string_view execution,
    const std::optional<at::Tensor>& gradient_rates, int64_t entry_stride) {
  const BlocksArguments arguments{weight,    structure,      depthwise,   norm_weight, norm_bias,
                                  ends,      targets,        norm,        eps,         gradient,
                                  execution, gradient_rates, entry_stride};
  check_wired_blocks_backward(arguments, grad_output, input);
  BlocksCall call = call_of(arguments, input.size(1));
  Device::resolve(kWiredBlocksBackward, execution, call);
  const StateLayout layout(call, input);
  check_shape(kWiredBlocksBackward, "state", state,
              {layout.chunks, call.kept_channels(), layout.stride}, call.weight);
  std::vector<c10::SymInt> moments;
  for (const int64_t size : moments_of(call, layout.batch)) moments.emplace_back(size);
  check_shape(kWiredBlocksBackward, "mean", summable(mean), moments, call.weight);
  check_shape(kWiredBlocksBackward, "variance", summable(variance), moments, call.weight);
  const at::Tensor grad = summable(grad_output);
  const BlocksGradients grads =
      is_empty(call, layout)
          ? zero_gradients(call, input, grad)
          : Device::backward(call, grad, entry_stride > 0 ? summable(input) : input, summable(mean),
                             summable(variance), state.contiguous());
  const auto dtype = weight.scalar_type();
  return {grads.input.to(dtype), grads.weight.to(dtype).view(weight.sizes()),
          grads.depthwise.to(dtype).view(depthwise.sizes()), grads.norm_weight.to(dtype),
          grads.norm_bias.to(dtype)};
}

}  // namespace rewire::ops
