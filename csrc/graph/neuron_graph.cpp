#include "graph/neuron_graph.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <unordered_set>

#include "graph/neuron_groups.h"

namespace rewire {
namespace {

using at::Tensor;

std::string listed(std::vector<std::string> names) {
  constexpr size_t kMost = 10;
  const size_t more = names.size() > kMost ? names.size() - kMost : 0;
  names.resize(names.size() - more);
  for (std::string& name : names) name = "'" + name + "'";
  return fmt::format("{}", fmt::join(names, ", ")) +
         (more ? fmt::format(" and {} more", more) : "");
}

void check_list(const char* kind, const std::vector<std::string>& names) {
  std::unordered_set<std::string> seen;
  std::vector<std::string> twice;
  for (const std::string& name : names) {
    if (!seen.insert(name).second) twice.push_back(name);
  }
  TORCH_CHECK_VALUE(twice.empty(), "Graph: ", kind, " name a neuron twice: ", listed(twice));
}

Tensor numbers(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

}  // namespace

Graph::Graph(const std::vector<Edge>& edges, const GraphOptions& options) {
  inputs_ = options.inputs;
  outputs_ = options.outputs;
  parallel_ = options.parallel;
  hidden_activation_ = options.activation;
  operation_ = options.operations;

  std::unordered_set<std::string> ends;
  for (const Edge& edge : edges) ends.insert({edge.source, edge.target});
  std::vector<std::string> names = options.neurons;
  if (names.empty()) {
    for (const std::string& name : inputs_) {
      if (ends.contains(name)) names.push_back(name);
    }
  }
  for (const Edge& edge : edges) {
    names.push_back(edge.source);
    names.push_back(edge.target);
  }
  number(names);

  std::vector<int64_t> sources, targets;
  for (const Edge& edge : edges) {
    sources.push_back(place_.at(edge.source));
    targets.push_back(place_.at(edge.target));
  }
  sources_ = numbers(sources);
  targets_ = numbers(targets);

  for (const auto& [name, activation] : options.activations) {
    TORCH_CHECK_VALUE(place_.contains(name), "Graph: activations of neurons not in the graph: '",
                      name, "'");
  }
  const std::set<std::string> of_inputs(inputs_.begin(), inputs_.end());
  const std::set<std::string> of_outputs(outputs_.begin(), outputs_.end());
  for (const std::string& name : neurons_) {
    const auto named = options.activations.find(name);
    const std::string own = named != options.activations.end() ? named->second
                            : of_outputs.contains(name)        ? "linear"
                                                               : options.activation;
    activation_.push_back(of_inputs.contains(name) ? "" : own);
  }
  finish();
}

void Graph::number(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (place_.emplace(name, int64_t(neurons_.size())).second) neurons_.push_back(name);
  }
}

void Graph::finish() {
  TORCH_CHECK_VALUE(!inputs_.empty() && !outputs_.empty(),
                    "Graph: inputs and outputs must be non-empty");
  check_list("inputs", inputs_);
  check_list("outputs", outputs_);
  check_ends();
  const Tensor codes = activation_codes();
  find_levels();
  structure_ = ops::neuron_structure(sources_, targets_, levels_, codes, numbers(places(inputs_)),
                                     numbers(places(outputs_)));
  if (!parallel_) check_parallel();
}

void Graph::check_ends() const {
  std::vector<char> role(neurons_.size(), ' ');
  const auto mark = [&](const char* kind, const std::vector<std::string>& names, char as) {
    for (const std::string& name : names) {
      const auto found = place_.find(name);
      TORCH_CHECK_VALUE(found != place_.end(), "Graph: ", kind, " are not in the graph: '", name,
                        "'");
      TORCH_CHECK_VALUE(role[found->second] == ' ', "Graph: neurons are inputs and outputs: '",
                        name, "'");
      role[found->second] = as;
    }
  };
  mark("inputs", inputs_, 'i');
  mark("outputs", outputs_, 'o');
  const auto *source = sources_.const_data_ptr<int64_t>(),
             *target = targets_.const_data_ptr<int64_t>();
  for (int64_t e = 0; e < num_edges(); ++e) {
    const std::string &from = neurons_[source[e]], &to = neurons_[target[e]];
    TORCH_CHECK_VALUE(role[target[e]] != 'i', "Graph: input '", to, "' has incoming edges, from '",
                      from, "'");
    TORCH_CHECK_VALUE(role[source[e]] != 'o', "Graph: output '", from, "' has outgoing edges, to '",
                      to, "'");
  }
}

Tensor Graph::activation_codes() const {
  const auto& known = graph::activation_names();
  std::vector<int64_t> codes;
  for (size_t i = 0; i < neurons_.size(); ++i) {
    const std::string& own = activation_[i];
    const auto found = own.empty() ? known.begin() : std::find(known.begin(), known.end(), own);
    TORCH_CHECK_VALUE(found != known.end(), "Graph: unknown activation '", own, "' of neuron '",
                      neurons_[i], "': expected one of ",
                      fmt::format("{}", fmt::join(known, ", ")));
    codes.push_back(found - known.begin());
  }
  return numbers(codes);
}

void Graph::find_levels() {
  std::optional<Tensor> operations;
  if (!operation_.empty()) {
    std::map<int64_t, int64_t> ids;
    std::vector<int64_t> of(neurons_.size(), -1);
    for (const auto& [name, id] : operation_) {
      TORCH_CHECK_VALUE(place_.contains(name), "Graph: operations of neurons not in the graph: '",
                        name, "'");
      of[place_.at(name)] = ids.emplace(id, int64_t(ids.size())).first->second;
    }
    operations = numbers(of);
  }
  const auto [levels, cycle] = ops::neuron_levels(sources_, targets_, int64_t(neurons_.size()),
                                                  numbers(places(inputs_)), operations);
  std::string path, first;
  for (int64_t i = 0; i < cycle.numel() && cycle[i].item<int64_t>() >= 0; ++i) {
    const std::string name = "'" + neurons_[cycle[i].item<int64_t>()] + "'";
    if (first.empty()) first = name;
    path += name + " -> ";
  }
  TORCH_CHECK_VALUE(path.empty(), "Graph: the graph has a cycle: ", path, first);
  levels_ = levels;
}

// Edges are sorted by target, then source: parallel ones are neighbours.
void Graph::check_parallel() const {
  const auto *neurons = structure_.neurons.const_data_ptr<int32_t>(),
             *offsets = structure_.row_offsets.const_data_ptr<int32_t>(),
             *columns = structure_.columns.const_data_ptr<int32_t>();
  for (size_t row = 0; row < neurons_.size(); ++row) {
    for (int32_t e = offsets[row] + 1; e < offsets[row + 1]; ++e) {
      TORCH_CHECK_VALUE(columns[e] != columns[e - 1], "Graph: edges are there twice: '",
                        neurons_[neurons[columns[e]]], "' to '", neurons_[neurons[row]],
                        "' (parallel allows it)");
    }
  }
}

std::vector<int64_t> Graph::places(const std::vector<std::string>& names) const {
  std::vector<int64_t> found;
  for (const std::string& name : names) found.push_back(place(name));
  return found;
}

int64_t Graph::place(const std::string& neuron) const {
  const auto found = place_.find(neuron);
  TORCH_CHECK_VALUE(found != place_.end(), "Graph: no neuron '", neuron, "'");
  return found->second;
}

int64_t Graph::level(const std::string& neuron) const {
  return levels_[place(neuron)].item<int64_t>();
}

std::vector<Edge> Graph::edges() const {
  std::vector<Edge> found;
  const auto *source = sources_.const_data_ptr<int64_t>(),
             *target = targets_.const_data_ptr<int64_t>();
  for (int64_t e = 0; e < num_edges(); ++e)
    found.push_back({neurons_[source[e]], neurons_[target[e]]});
  return found;
}

Graph::Edited Graph::edit(const GraphEdit& edit) const {
  const int64_t count = int64_t(neurons_.size());
  std::vector<bool> removed(count);
  for (const std::string& name : edit.remove) {
    TORCH_CHECK_VALUE(place_.contains(name), "Graph: neurons to remove are not there: '", name,
                      "'");
    removed[place_.at(name)] = true;
  }
  Graph next;
  next.parallel_ = parallel_;
  next.hidden_activation_ = hidden_activation_;
  std::vector<int64_t> old_neurons;
  const auto add = [&](const std::string& name, const std::string& activation, int64_t from) {
    TORCH_CHECK_VALUE(next.place_.emplace(name, int64_t(next.neurons_.size())).second,
                      "Graph: neuron '", name, "' is there already");
    next.neurons_.push_back(name);
    next.activation_.push_back(activation);
    old_neurons.push_back(from);
  };
  const auto surviving = [&](const std::vector<std::string>& names) {
    std::vector<std::string> left;
    for (const std::string& name : names) {
      if (!removed[place_.at(name)]) left.push_back(name);
    }
    return left;
  };
  for (int64_t i = 0; i < count; ++i) {
    if (!removed[i]) add(neurons_[i], activation_[i], i);
  }
  for (const std::string& name : edit.add_hidden) add(name, hidden_activation_, -1);
  for (const std::string& name : edit.add_inputs) add(name, "", -1);
  for (const std::string& name : edit.add_outputs) add(name, "linear", -1);
  next.inputs_ = edit.add_inputs;
  for (const std::string& name : surviving(inputs_)) next.inputs_.push_back(name);
  next.outputs_ = surviving(outputs_);
  next.outputs_.insert(next.outputs_.end(), edit.add_outputs.begin(), edit.add_outputs.end());
  for (const auto& [name, id] : operation_) {
    if (!removed[place_.at(name)]) next.operation_[name] = id;
  }

  // Edges as one number each.
  std::unordered_set<int64_t> gone;
  for (const Edge& edge : edit.remove_edges)
    gone.insert(place(edge.source) * count + place(edge.target));
  const auto *source = sources_.const_data_ptr<int64_t>(),
             *target = targets_.const_data_ptr<int64_t>();
  std::vector<int64_t> sources, targets, old_edges;
  std::unordered_set<int64_t> present;  // of the new graph
  const int64_t new_count = int64_t(next.neurons_.size());
  const auto key_of = [&](int64_t from, int64_t to) { return from * new_count + to; };
  for (int64_t e = 0; e < num_edges(); ++e) {
    if (removed[source[e]] || removed[target[e]] || gone.contains(source[e] * count + target[e]))
      continue;
    sources.push_back(next.place_.at(neurons_[source[e]]));
    targets.push_back(next.place_.at(neurons_[target[e]]));
    old_edges.push_back(e);
    if (!edit.add_edges.empty()) present.insert(key_of(sources.back(), targets.back()));
  }
  for (const Edge& edge : edit.add_edges) {
    const int64_t from = next.place(edge.source), to = next.place(edge.target);
    if (!present.insert(key_of(from, to)).second) continue;
    sources.push_back(from);
    targets.push_back(to);
    old_edges.push_back(-1);
  }
  next.sources_ = numbers(sources);
  next.targets_ = numbers(targets);
  next.finish();
  return {std::move(next), {numbers(old_edges), numbers(old_neurons)}};
}

std::string Graph::to_json() const {
  nlohmann::ordered_json json{{"neurons", neurons_}, {"inputs", inputs_}, {"outputs", outputs_}};
  json["edges"] = nlohmann::ordered_json::array();
  for (const Edge& edge : edges()) json["edges"].push_back({edge.source, edge.target});
  for (size_t i = 0; i < neurons_.size(); ++i) {
    const auto operation = operation_.find(neurons_[i]);
    json["activations"].push_back(activation_[i].empty() ? nlohmann::ordered_json()
                                                         : nlohmann::ordered_json(activation_[i]));
    json["operations"].push_back(operation == operation_.end()
                                     ? nlohmann::ordered_json()
                                     : nlohmann::ordered_json(operation->second));
  }
  json["output_transform"] = nullptr;
  json["parallel"] = parallel_;
  return json.dump();
}

Graph Graph::from_json(const std::string& text) {
  using nlohmann::json;
  const auto check = [](bool holds, const std::string& message) {
    TORCH_CHECK_VALUE(holds, "Graph::from_json: ", message);
  };
  const json found = json::parse(text, nullptr, /*allow_exceptions=*/false);
  check(found.is_object(), "expected a JSON object");
  const auto list = [&](const char* key) {
    const json values = found.value(key, json::array());
    check(values.is_array(), fmt::format("expected {} as a list", key));
    return values;
  };
  const auto name = [&](const json& value) {
    check(value.is_string() || value.is_number_integer(), "expected names as text or integers");
    return value.is_string() ? value.get<std::string>() : value.dump();
  };
  const auto names = [&](const char* key) {
    std::vector<std::string> all;
    for (const json& value : list(key)) all.push_back(name(value));
    return all;
  };
  for (const auto& [key, value] : found.items()) {
    static const std::set<std::string> known = {
        "neurons",     "inputs",     "outputs",          "edges",
        "activations", "operations", "output_transform", "parallel"};
    check(known.contains(key), "unknown key '" + key + "'");
  }
  check(!found.contains("output_transform") || found["output_transform"].is_null(),
        "expected no output_transform: apply it to what the network gives");
  GraphOptions options;
  options.inputs = names("inputs");
  options.outputs = names("outputs");
  options.neurons = names("neurons");
  const json parallel = found.value("parallel", json(false));
  check(parallel.is_boolean(), "expected parallel as true or false");
  options.parallel = parallel.get<bool>();
  const json activations = list("activations"), operations = list("operations");
  check(activations.size() == options.neurons.size() && operations.size() == options.neurons.size(),
        "expected as many activations and operations as neurons");
  for (size_t i = 0; i < options.neurons.size(); ++i) {
    check(activations[i].is_null() || activations[i].is_string(),
          "expected activations as text or null");
    check(operations[i].is_null() || operations[i].is_number_integer(),
          "expected operations as integers or null");
    if (!activations[i].is_null())
      options.activations[options.neurons[i]] = activations[i].get<std::string>();
    if (!operations[i].is_null())
      options.operations[options.neurons[i]] = operations[i].get<int64_t>();
  }
  std::vector<Edge> edges;
  for (const json& edge : list("edges")) {
    check(edge.is_array() && edge.size() == 2, "expected edges as pairs");
    edges.push_back({name(edge[0]), name(edge[1])});
  }
  return Graph(edges, options);
}

}  // namespace rewire
