// Directed acyclic graphs of single neurons by name, and their edits: rewire.Graph of Python for
// C++. Installed as <rewire/graph.h>, beside <rewire/nn.h>, which computes them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "ops/rewire.h"

namespace rewire {

struct Edge {
  std::string source;
  std::string target;
  friend bool operator==(const Edge&, const Edge&) = default;
};

struct GraphOptions {
  std::vector<std::string> inputs, outputs;  // columns of what goes in, and of what comes out
  std::string activation = "relu";           // of hidden neurons; the names are Python's
  std::map<std::string, std::string>
      activations;                            // by neuron; outputs are linear unless named here
  std::map<std::string, int64_t> operations;  // neurons of one id wait for one another: one level
  std::vector<std::string> neurons;           // further ones, and the order of all
  bool parallel = false;                      // whether two neurons may have several edges
};

// What is added and removed, all at once. With a neuron go its edges. Edges that are there already
// are not added, and edges that are not there need not be removed.
struct GraphEdit {
  std::vector<Edge> add_edges = {}, remove_edges = {};
  std::vector<std::string> add_hidden = {};
  std::vector<std::string> add_inputs = {};  // which come before the others
  std::vector<std::string> add_outputs = {}, remove = {};
};

// Where the parts of an edited graph come from: old places, int64, -1 for what is new.
struct GraphChanges {
  at::Tensor edges;    // [edges]
  at::Tensor neurons;  // [neurons]
};

// A graph is a value: an edit makes another. O(neurons + edges), as is every edit.
class Graph {
 public:
  // Neurons have the order of options.neurons, then that in which inputs and edges name them.
  // Throws c10::ValueError, which names whom it is about, where there is a cycle; where inputs or
  // outputs are none, twice, both or not in the graph; where an input has incoming edges or an
  // output outgoing ones; where an edge is there twice without `parallel`; for an unknown
  // activation, and activations and operations of neurons that are not there.
  Graph(const std::vector<Edge>& edges, const GraphOptions& options);

  // As Python's Graph.to_json writes it without a transform of the outputs, and reads it. Throws
  // c10::ValueError for what is no JSON of that form. Integers that are names become text.
  static Graph from_json(const std::string& text);
  std::string to_json() const;

  struct Edited;
  // Neurons and edges keep their order, new ones come last. Throws as the constructor does, and
  // where a neuron to be added is there or one to be removed, or an edge's end, is not.
  Edited edit(const GraphEdit& edit) const;

  const std::vector<std::string>& neurons() const { return neurons_; }
  const std::vector<std::string>& inputs() const { return inputs_; }
  const std::vector<std::string>& outputs() const { return outputs_; }
  std::vector<Edge> edges() const;  // in the order of a network's weights
  int64_t num_edges() const { return sources_.size(0); }
  // 0 for inputs, else 1 + the largest level of its sources; 1 without sources.
  int64_t level(const std::string& neuron) const;
  // The place of a neuron. Throws c10::ValueError where there is none of that name.
  int64_t place(const std::string& neuron) const;
  // Ends of the edges, int64 [edges]: places of neurons.
  const at::Tensor& sources() const { return sources_; }
  const at::Tensor& targets() const { return targets_; }
  // What the operator neuron_graph takes.
  const ops::NeuronStructure& structure() const { return structure_; }

 private:
  Graph() = default;
  void number(const std::vector<std::string>& names);
  void finish();  // checks, levels and structure, of what is set
  void check_ends() const;
  at::Tensor activation_codes() const;  // checked
  void check_parallel() const;
  void find_levels();
  std::vector<int64_t> places(const std::vector<std::string>& names) const;

  std::vector<std::string> neurons_, inputs_, outputs_;
  std::unordered_map<std::string, int64_t> place_;
  std::vector<std::string> activation_;       // by neuron; empty for inputs
  std::map<std::string, int64_t> operation_;  // by name
  std::string hidden_activation_;             // of what edits add
  bool parallel_ = false;
  at::Tensor sources_, targets_;  // int64 [edges]
  at::Tensor levels_;             // int32 [neurons]
  ops::NeuronStructure structure_;
};

struct Graph::Edited {
  Graph graph;
  GraphChanges changes;
};

}  // namespace rewire
