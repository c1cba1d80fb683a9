// Groups of neurons that read whole groups: how a graph of single neurons is described in a few
// lines. A neuron by itself is a group of one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace rewire::graph {

inline constexpr const char* kInputs = "inputs";  // the group that every graph begins with

// In the order of their codes in ops::neuron_structure.
const std::vector<std::string>& activation_names();

struct NeuronGroup {
  std::string name;
  int64_t neurons = 1;
  std::string activation = "linear";
  std::vector<std::string> from;  // groups before this one, or kInputs
  int64_t fan_in = 0;  // edges into each neuron, drawn with replacement; 0: one from every neuron
                       // of `from`
};

// What is wrong with the groups, or with those that are named as outputs; "" where both are sound.
std::string fault_of(const std::vector<NeuronGroup>& groups,
                     const std::vector<std::string>& outputs);

// Of sound groups; more than 2^53 are not told apart.
double count_edges(const std::vector<NeuronGroup>& groups, int64_t inputs);

// Neurons are numbered: inputs first, then group by group. Edges go by the numbers of their
// targets; of one target, they are in the order of `from`, or as they were drawn.
struct NeuronEdges {
  std::vector<int32_t> sources;
  std::vector<int32_t> targets;
};

// The neurons of the groups that are named; of the last group where none is.
std::vector<int32_t> outputs_of(const std::vector<NeuronGroup>& groups, int64_t inputs,
                                const std::vector<std::string>& outputs);

// draw(n): a number in [0, n). Requires sound groups, whose edges fit into memory.
NeuronEdges edges_of(const std::vector<NeuronGroup>& groups, int64_t inputs,
                     const std::function<int64_t(int64_t)>& draw);

}  // namespace rewire::graph
