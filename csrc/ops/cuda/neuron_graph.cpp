// neuron_graph on a CUDA device. An edge that is not in use has the weight 0 here: how many there
// are is not known to the host.
#include "kernels/cuda/neuron_graph.h"

#include <ATen/Dispatch.h>
#include <c10/core/DeviceGuard.h>

#include "ops/cuda/stream.h"
#include "ops/neuron_graph_on.h"

namespace rewire::ops {
namespace {

using at::Tensor;

Tensor weights_in_use(const NeuronCall& call) {
  return call.mask ? call.weight.masked_fill(call.mask->logical_not(), 0) : call.weight;
}

template <typename T>
kernels::cuda::NeuronGraph<T> graph_of(const NeuronCall& call, const Tensor& offsets,
                                       const Tensor& ends, const Tensor& weights) {
  return {.num_neurons = call.num_neurons,
          .num_inputs = call.num_inputs,
          .batch = call.batch,
          .level_offsets = call.structure.level_offsets.const_data_ptr<int32_t>(),
          .activations = call.structure.activations.const_data_ptr<int32_t>(),
          .offsets = offsets.const_data_ptr<int32_t>(),
          .ends = ends.const_data_ptr<int32_t>(),
          .weights = weights.const_data_ptr<T>()};
}

struct NeuronsOnCuda {
  static void check(const NeuronCall&) {}
  static void check_backward(const NeuronCall&) {}

  static void forward(const NeuronCall& call, const Tensor& input, const Tensor& biases,
                      const Tensor& keep, const Tensor& output, const Tensor& state) {
    const c10::DeviceGuard guard(output.device());
    const NeuronStructure& s = call.structure;
    const Tensor weights = weights_in_use(call).index_select(0, s.edges);
    const bool kept = state.numel() > 0;
    const Tensor tape =
        kept ? state
             : at::empty({1, call.num_neurons, kernels::padded(call.batch)}, output.options());
    AT_DISPATCH_FLOATING_TYPES(output.scalar_type(), kNeuronGraph, [&] {
      kernels::cuda::neuron_forward<scalar_t>(
          graph_of<scalar_t>(call, s.row_offsets, s.columns, weights),
          input.const_data_ptr<scalar_t>(), biases.const_data_ptr<scalar_t>(),
          keep.defined() ? keep.const_data_ptr<bool>() : nullptr, tape.mutable_data_ptr<scalar_t>(),
          kept ? state[1].mutable_data_ptr<scalar_t>() : nullptr,
          {s.outputs.const_data_ptr<int32_t>(), output.size(1),
           output.mutable_data_ptr<scalar_t>()},
          stream_of(output));
    });
  }

  static void backward(const NeuronCall& call, const Tensor& grad_output, const Tensor& state,
                       const NeuronGradients& out) {
    const bool to_input = out.input.numel() > 0, to_weight = out.bias.numel() > 0;
    const c10::DeviceGuard guard(state.device());
    const NeuronStructure& s = call.structure;
    const Tensor weights = weights_in_use(call).index_select(0, s.edges).index_select(0, s.order);
    const Tensor gradients = at::empty({call.num_neurons, state.size(2)}, state.options());
    AT_DISPATCH_FLOATING_TYPES(state.scalar_type(), kNeuronGraphBackward, [&] {
      const auto* const values = state.const_data_ptr<scalar_t>();
      kernels::cuda::neuron_backward<scalar_t>(
          graph_of<scalar_t>(call, s.column_offsets, s.rows, weights),
          {s.outputs.const_data_ptr<int32_t>(), grad_output.size(1),
           grad_output.const_data_ptr<scalar_t>()},
          values, values + state.stride(0), gradients.mutable_data_ptr<scalar_t>(),
          to_input ? out.input.mutable_data_ptr<scalar_t>() : nullptr, stream_of(state));
      if (!to_weight) return;
      kernels::cuda::neuron_grad_weights<scalar_t>(
          graph_of<scalar_t>(call, s.row_offsets, s.columns, weights),
          s.edges.const_data_ptr<int32_t>(), s.neurons.const_data_ptr<int32_t>(), values,
          gradients.const_data_ptr<scalar_t>(), out.weight.mutable_data_ptr<scalar_t>(),
          out.bias.mutable_data_ptr<scalar_t>(), stream_of(state));
    });
    if (to_weight && call.mask && call.kept_only)
      out.weight.masked_fill_(call.mask->logical_not(), 0);
  }
};

}  // namespace

REWIRE_CUDA_LIBRARY(m) {
  m.impl("neuron_graph", neuron_forward_on<NeuronsOnCuda>);
  m.impl("neuron_graph_backward", neuron_backward_on<NeuronsOnCuda>);
}

}  // namespace rewire::ops
