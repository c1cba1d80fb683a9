// The op neuron_graph and its backward on a device: what every device checks and converts alike.
//
// A Device has
//   void check(const NeuronCall&), check_backward(const NeuronCall&)
//   void forward(const NeuronCall&, input, biases, keep, output, state): biases [neurons] and keep
//     [neurons, batch], which may be undefined, by position; fills output, and state if it is kept
//   void backward(const NeuronCall&, grad_output, state, const NeuronGradients&): adds to the
//     gradients, which are 0; one that is empty is not asked for
#pragma once

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <optional>
#include <string_view>
#include <tuple>

#include "ops/neuron_graph.h"
#include "ops/pointwise.h"

namespace rewire::ops {

inline NeuronCall neuron_call(const NeuronArguments& arguments, int64_t num_inputs, int64_t batch) {
  return {.structure = contiguous_structure(arguments.structure),
          .weight = summable(arguments.weight),
          .mask = arguments.mask,
          .kept_only = arguments.gradient == "kept",
          .num_neurons = arguments.structure[0].numel(),
          .num_inputs = num_inputs,
          .batch = batch};
}

template <typename Device>
NeuronOutputs neuron_forward_on(const at::Tensor& input, const at::Tensor& weight,
                                const at::Tensor& bias, at::TensorList structure,
                                const std::optional<at::Tensor>& mask,
                                const std::optional<at::Tensor>& keep, std::string_view gradient,
                                bool keep_state) {
  const NeuronArguments arguments{weight, structure, mask, gradient};
  check_neuron_graph(arguments, input, bias, keep);
  const NeuronCall call = neuron_call(arguments, input.size(1), input.size(0));
  Device::check(call);
  const auto options = call.weight.options();
  const at::Tensor output = at::empty({call.batch, call.structure.outputs.numel()}, options);
  const at::Tensor state =
      at::empty_symint(state_sizes(call.num_neurons, call.batch, keep_state), options);
  if (call.batch > 0 && call.num_neurons > 0) {
    const at::Tensor& neurons = call.structure.neurons;
    const at::Tensor kept = keep ? keep->t().index_select(0, neurons).contiguous() : at::Tensor();
    Device::forward(call, summable(input), summable(bias).index_select(0, neurons), kept, output,
                    state);
  }
  return {output.to(weight.scalar_type()), state};
}

template <typename Device>
NeuronGradientOutputs neuron_backward_on(const at::Tensor& grad_output, const at::Tensor& weight,
                                         at::TensorList structure, const at::Tensor& state,
                                         const std::optional<at::Tensor>& mask,
                                         std::string_view gradient, int64_t num_inputs,
                                         bool to_input, bool to_weight) {
  const NeuronArguments arguments{weight, structure, mask, gradient};
  check_neuron_graph_backward(arguments, grad_output, state);
  const NeuronCall call = neuron_call(arguments, num_inputs, grad_output.size(0));
  Device::check(call);
  Device::check_backward(call);
  const auto zeros = [&](bool asked, at::IntArrayRef sizes) {
    return asked ? at::zeros(sizes, call.weight.options()) : at::empty({0}, call.weight.options());
  };
  const NeuronGradients gradients{zeros(to_input, {call.batch, num_inputs}),
                                  zeros(to_weight, {call.weight.numel()}),
                                  zeros(to_weight, {call.num_neurons})};
  if (call.batch > 0 && call.num_neurons > 0 && (to_input || to_weight)) {
    Device::backward(call, summable(grad_output), state.contiguous(), gradients);
  }
  const auto dtype = weight.scalar_type();
  return {gradients.input.to(dtype), gradients.weight.to(dtype), gradients.bias.to(dtype)};
}

}  // namespace rewire::ops
