#include "graph/neuron_groups.h"

#include <map>
#include <set>

namespace rewire::graph {
namespace {

// The neurons [first, first + count).
struct Span {
  int64_t first;
  int64_t count;
};

// Where the groups that are read lie, by name.
class Places {
 public:
  explicit Places(int64_t inputs) : end_(inputs) { of_[kInputs] = {0, inputs}; }

  void add(const NeuronGroup& group) {
    of_[group.name] = {end_, group.neurons};
    end_ += group.neurons;
  }
  std::vector<Span> of(const std::vector<std::string>& groups) const {
    std::vector<Span> spans;
    for (const std::string& name : groups) spans.push_back(of_.at(name));
    return spans;
  }
  int64_t end() const { return end_; }

 private:
  std::map<std::string, Span> of_;
  int64_t end_;
};

int64_t total(const std::vector<Span>& spans) {
  int64_t sum = 0;
  for (const Span& span : spans) sum += span.count;
  return sum;
}

// The neuron at a place among those of `spans`.
int32_t neuron_at(const std::vector<Span>& spans, int64_t place) {
  for (const Span& span : spans) {
    if (place < span.count) return static_cast<int32_t>(span.first + place);
    place -= span.count;
  }
  return -1;  // beyond them all
}

}  // namespace

const std::vector<std::string>& activation_names() {
  static const std::vector<std::string> names = {"linear",  "relu",    "selu",      "leaky_relu",
                                                 "sigmoid", "softmax", "gelu_tanh", "tanh",
                                                 "silu",    "gelu",    "elu",       "softplus"};
  return names;
}

std::string fault_of(const std::vector<NeuronGroup>& groups,
                     const std::vector<std::string>& outputs) {
  if (groups.empty()) return "expected at least the group of the outputs";
  std::set<std::string> known{kInputs};
  for (const NeuronGroup& group : groups) {
    if (group.name.empty()) return "expected a name for every group";
    if (known.contains(group.name)) return "a second group '" + group.name + "'";
    if (group.from.empty()) return "'" + group.name + "' reads no group";
    std::set<std::string> read;
    for (const std::string& name : group.from) {
      if (!known.contains(name)) {
        return "'" + group.name + "' reads '" + name + "', which is no group before it";
      }
      if (!read.insert(name).second) return "'" + group.name + "' reads '" + name + "' twice";
    }
    if (group.activation == "softmax" && &group != &groups.back()) {
      return "'" + group.name + "': softmax is for the last group alone";
    }
    known.insert(group.name);
  }
  std::set<std::string> named;
  for (const std::string& name : outputs) {
    if (name == kInputs || !known.contains(name)) return "no group '" + name + "' to be an output";
    if (!named.insert(name).second) return "'" + name + "' is an output twice";
  }
  return "";
}

std::vector<int32_t> outputs_of(const std::vector<NeuronGroup>& groups, int64_t inputs,
                                const std::vector<std::string>& outputs) {
  Places places(inputs);
  for (const NeuronGroup& group : groups) places.add(group);
  const std::vector<std::string> last{groups.back().name};
  std::vector<int32_t> neurons;
  for (const Span& span : places.of(outputs.empty() ? last : outputs)) {
    for (int64_t i = 0; i < span.count; ++i) neurons.push_back(int32_t(span.first + i));
  }
  return neurons;
}

double count_edges(const std::vector<NeuronGroup>& groups, int64_t inputs) {
  Places places(inputs);
  double edges = 0;
  for (const NeuronGroup& group : groups) {
    const int64_t each = group.fan_in > 0 ? group.fan_in : total(places.of(group.from));
    edges += double(group.neurons) * double(each);
    places.add(group);
  }
  return edges;
}

NeuronEdges edges_of(const std::vector<NeuronGroup>& groups, int64_t inputs,
                     const std::function<int64_t(int64_t)>& draw) {
  NeuronEdges edges;
  Places places(inputs);
  for (const NeuronGroup& group : groups) {
    const std::vector<Span> spans = places.of(group.from);
    const int64_t candidates = total(spans);
    const int64_t each = group.fan_in > 0 ? group.fan_in : candidates;
    for (int64_t neuron = places.end(); neuron < places.end() + group.neurons; ++neuron) {
      for (int64_t i = 0; i < each; ++i) {
        const int64_t place = group.fan_in > 0 ? draw(candidates) : i;
        edges.sources.push_back(neuron_at(spans, place));
        edges.targets.push_back(static_cast<int32_t>(neuron));
      }
    }
    places.add(group);
  }
  return edges;
}

}  // namespace rewire::graph
