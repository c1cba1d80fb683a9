// From a description to a network: one jit::Module, and what is known about its wired layers.
#pragma once

#include <torch/script.h>

#include <map>
#include <string>
#include <vector>

#include "data/description.h"
#include "models/description.h"
#include "script/script.h"

namespace rewire::models {

// One wired layer of a model.
struct Wiring {
  std::string name;  // dotted, as in the names of its parameters: "graph"
  WiringDescription rule;
  // bool [out, in], of a convolution [out, in * k * k]: candidates that the network reads at all
  at::Tensor readable;
  int64_t positions = 1;        // an edge multiplies once for each of these
  std::vector<int64_t> groups;  // sizes of the input's channel groups, a block each; for pictures
  int64_t outputs = 0;          // channels that the last group writes to, the last of all
  // For pictures too. Channels that send and that receive are those of one state; otherwise output
  // 0 is channel `first_target`, counted on from the first that sends.
  bool one_state = false;
  int64_t first_target = 0;
  // Of a graph of neurons the candidates are one row: its module says where they lead. Every neuron
  // is in a group, and each but the inputs, the first group, may receive.
  bool of_neurons = false;
  std::vector<std::string> names{};  // of its groups
};

// A layer whose edges are not wired: a convolution or a linear layer.
struct Layer {
  std::string name;
  int64_t parameters = 0;  // its weights, without biases
  int64_t macs = 0;        // multiply-accumulates of an image
};

struct Model {
  torch::jit::Module module;
  std::vector<Wiring> wirings;
  std::vector<Layer> layers;     // outside the wired ones, in the order of the network
  at::Device device = at::kCPU;  // of the module's tensors; those above stay on the CPU
};

// A network for images of `spec`, freshly initialised; the same seed gives the same weights.
Model build(const Description& description, const data::ImageSpec& spec, int64_t seed);

// Moves the module's tensors: before an optimiser has them, whose state would stay.
void move_to(Model& model, at::Device device);

// The processes whose batches are one for the statistics of batch norms in training: a group of
// sum_over_peers, or "", none.
void set_group(Model& model, const std::string& group);

// How the wired layers are computed: `auto`, `sparse` or `dense`, as in the ops.
void set_execution(Model& model, const std::string& execution);
// `sparse` or `dense`: what `auto` is for this network on its device, now.
std::string faster_execution(const Model& model);

torch::jit::Module wiring_module(const Model& model, const Wiring& wiring);
// On the CPU; bool, of the shape of `readable`: the candidates that the layer's rule keeps; those
// of them that the network reads; and the weights of the latter, 0 elsewhere.
at::Tensor edges_kept(const Model& model, const Wiring& wiring);
std::vector<at::Tensor> edges_kept(const Model& model);
at::Tensor edges_in_use(const Model& model, const Wiring& wiring);
at::Tensor weights_in_use(const Model& model, const Wiring& wiring);

// Edges that the rules of all wired layers keep, and those of them that the network reads.
struct EdgeCount {
  int64_t kept = 0;
  int64_t in_use = 0;
};
EdgeCount count_edges(const Model& model);

// Elements of all parameters.
int64_t count_parameters(const Model& model);

// Multiply-accumulates of one image when only the edges in use are computed.
int64_t count_macs(const Model& model);

// Copies `state` into the model. A mask that the rule can do without may be missing (fine_tune: it
// is then chosen by the loaded weights) or present; so may the turns of a sampled gradient.
script::Mismatch load_state(Model& model, std::map<std::string, at::Tensor> state);

}  // namespace rewire::models
