// Graphs of single neurons: see neurons.cpp and torchscript/neurons.py.
#pragma once

#include "models/model.h"

namespace rewire::models {

Model build_neurons(const NeuronsDescription& description, const data::ImageSpec& spec,
                    at::Generator& generator);

// The same network in evaluation mode with its edges in use alone, and without the neurons, inputs
// and outputs excepted, from which no path leads to an output.
Model fast_eval_neurons(const Model& model, const NeuronsDescription& description);

// The ends of the candidates, numbers of neurons: int64 [edges].
struct EdgeEnds {
  at::Tensor sources;
  at::Tensor targets;
};
EdgeEnds edge_ends(const torch::jit::Module& module);

// What a description says of the neurons, by number; the first ones are the inputs.
struct NeuronRoles {
  int64_t inputs = 0;
  at::Tensor activations;
  at::Tensor outputs;
};
NeuronRoles roles_of(const torch::jit::Module& module, int64_t inputs);

// Why the structure of such a module is none, or gives neurons other roles, as it may where a file
// brought it; or "".
std::string structure_fault(const torch::jit::Module& module, const NeuronRoles& roles);

}  // namespace rewire::models
