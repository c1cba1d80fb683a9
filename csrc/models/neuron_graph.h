// The network of a graph of neurons as a torch::nn::Module: rewire.nn.NeuronGraph of Python for
// C++. Installed as <rewire/nn.h>.
#pragma once

#include <torch/torch.h>

#include <optional>

#include "graph/neuron_graph.h"

namespace rewire::nn {

struct NeuronGraphOptions {
  std::optional<int64_t> keep = {};  // learned wiring: so many of the edges are in use, the strongest
};

// y_v = act_v(bias_v + sum over edges (u, v) of weight_uv y_u), from [*, inputs] to [*, outputs].
// weight [edges] is normal with the deviation sqrt(2 / fan-in), in the order of the graph's edges;
// bias [neurons] is 0, in the order of its neurons: the entries of inputs are not used. With `keep`
// the edges in use are chosen anew at each call, and the gradient reaches all.
class NeuronGraphImpl : public torch::nn::Module {
 public:
  // Throws c10::ValueError for a `keep` of more than there are edges.
  explicit NeuronGraphImpl(Graph graph, NeuronGraphOptions options = {});

  at::Tensor forward(const at::Tensor& x);
  void reset_parameters();
  const Graph& graph() const { return graph_; }
  const NeuronGraphOptions& options() const { return options_; }

  at::Tensor weight, bias;

 private:
  Graph graph_;
  NeuronGraphOptions options_;
  ops::NeuronStructure structure_;  // on the weight's device; no buffer: to(dtype) would change it
};
TORCH_MODULE(NeuronGraph);

// The network of an edited graph: what survives keeps its weights and biases, what is new is drawn
// as in a new network. `keep` stays, or is all edges where there are fewer. Throws as Graph::edit.
struct Edited {
  NeuronGraph network;
  GraphChanges changes;
};
Edited edit(const NeuronGraph& network, const GraphEdit& edit);

// Hands an optimiser of `network` over to the edited one: its moments of what survives stay, those
// of what is new are 0; parameters of other modules stay as they are. Throws c10::ValueError for an
// optimiser other than SGD, Adam and AdamW.
void carry(torch::optim::Optimizer& optimizer, const NeuronGraph& network, const Edited& edited);

}  // namespace rewire::nn
