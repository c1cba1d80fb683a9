// neuron_graph: what its op hands to what computes it on a device.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "kernels/neuron_tiles.h"
#include "ops/rewire.h"

namespace rewire::ops {

inline constexpr const char* kNeuronGraph = "neuron_graph";
inline constexpr const char* kNeuronGraphBackward = "neuron_graph_backward";

using NeuronStructureTensors =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
               at::Tensor, at::Tensor, at::Tensor>;

using NeuronOutputs = std::tuple<at::Tensor, at::Tensor>;
using NeuronGradientOutputs = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

NeuronStructureTensors as_tuple(const NeuronStructure& structure);
std::vector<at::Tensor> as_list(const NeuronStructure& structure);
// Of ten tensors, made contiguous.
NeuronStructure contiguous_structure(at::TensorList list);

// The arguments that forward and backward share, as the op gets them.
struct NeuronArguments {
  const at::Tensor& weight;
  at::TensorList structure;
  const std::optional<at::Tensor>& mask;
  std::string_view gradient;
};

// Dtypes, shapes and devices; symbolic sizes.
void check_neuron_graph(const NeuronArguments& arguments, const at::Tensor& input,
                        const at::Tensor& bias, const std::optional<at::Tensor>& keep);
void check_neuron_graph_backward(const NeuronArguments& arguments, const at::Tensor& grad_output,
                                 const at::Tensor& state);

// [2, neurons, padded batch]: values and slopes, as neuron_tiles.h says; [0, ...] if not kept.
std::vector<c10::SymInt> state_sizes(const c10::SymInt& num_neurons, const c10::SymInt& batch,
                                     bool keep_state);

// That the contiguous tensors of a structure on the CPU are what they say, O(edges); what backward
// goes by alone is checked there.
void check_order(const NeuronStructure& structure, int64_t num_inputs);
void check_transpose(const NeuronStructure& structure);

// A call, with its tensors contiguous and of one dtype, float32 or float64.
struct NeuronCall {
  NeuronStructure structure;
  at::Tensor weight;
  std::optional<at::Tensor> mask;
  bool kept_only;  // of the weight's gradient
  int64_t num_neurons;
  int64_t num_inputs;
  int64_t batch;
};

struct NeuronGradients {
  at::Tensor input, weight, bias;  // one that is not asked for is empty
};

}  // namespace rewire::ops
