// The rows of graphs of neurons in the table of ops.
#include <torch/torch.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>

#include "rows.h"
#include "support/reference.h"

namespace rewire::test {
namespace {

using at::Tensor;

constexpr int64_t kSoftmax = 5, kNumActivations = 12;

Tensor ints(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kLong).to(torch::kInt);
}

std::vector<int64_t> numbers(const Tensor& tensor) {
  const Tensor wide = tensor.to(at::kLong).contiguous();
  return {wide.const_data_ptr<int64_t>(), wide.const_data_ptr<int64_t>() + wide.numel()};
}

// Neurons by number; edges in an order of no meaning.
struct Graph {
  std::string name;
  int64_t num_neurons;
  std::vector<int64_t> sources, targets, inputs, outputs, activations;
};

// `inputs` neurons, and others that read up to `fan_in` of those with a lower rank. Ranks are not
// numbers: neither the inputs nor a topological order come first.
Graph drawn_graph(const std::string& name, int64_t num_neurons, int64_t num_inputs, int64_t fan_in,
                  uint64_t seed) {
  Graph graph{name, num_neurons};
  const auto numbers_drawn = [&](uint64_t more) {
    return numbers(drawn({num_neurons}, seed + more).argsort());
  };
  const auto of_rank = numbers_drawn(0);
  graph.inputs.assign(of_rank.begin(), of_rank.begin() + num_inputs);
  graph.activations.resize(num_neurons);
  std::set<int64_t> read;
  for (int64_t rank = num_inputs; rank < num_neurons; ++rank) {
    const Tensor draws = drawn({fan_in}, seed + rank).abs().frac();
    for (const int64_t source : numbers((draws * rank).floor())) {
      graph.sources.push_back(of_rank[source]);
      graph.targets.push_back(of_rank[rank]);
      read.insert(of_rank[source]);
    }
    graph.activations[of_rank[rank]] = rank % kNumActivations;
  }
  for (int64_t n = num_neurons - 1; n >= 0; --n) {
    if (read.count(n) == 0) graph.outputs.push_back(n);
  }
  const auto shuffled = numbers(drawn({int64_t(graph.sources.size())}, seed + 1).argsort());
  const auto mixed = [&](const std::vector<int64_t>& ends) {
    std::vector<int64_t> result;
    for (const int64_t e : shuffled) result.push_back(ends[e]);
    return result;
  };
  graph.sources = mixed(graph.sources);
  graph.targets = mixed(graph.targets);
  return graph;
}

std::vector<Graph> graphs() {
  return {drawn_graph("a few", 19, 3, 3, 1),
          drawn_graph("with parallel edges", 9, 2, 5, 20),
          drawn_graph("wide", 60, 20, 2, 40),
          {"a chain", 4, {2, 0, 3}, {0, 3, 1}, {2}, {1}, {1, 2, 0, 4}},
          {"softmax of levels",
           7,
           {0, 0, 1, 1, 2, 3},
           {2, 3, 2, 4, 5, 6},
           {1, 0},
           {6, 4, 5, 3},
           {0, 0, 5, 5, 5, 5, 5}},
          {"one neuron is two outputs", 3, {0, 1}, {1, 2}, {0}, {2, 1, 2}, {0, 7, 8}},
          {"without edges", 3, {}, {}, {1}, {0, 1, 2}, {4, 0, 5}},
          {"without neurons", 0, {}, {}, {}, {}, {}}};
}

// By repeated passes over all edges.
std::vector<int64_t> levels_of(const Values& a) {
  const auto sources = numbers(a[0].toTensor()), targets = numbers(a[1].toTensor());
  const auto inputs = numbers(a[3].toTensor());
  std::vector<int64_t> ids(a[2].toInt(), -1), levels(a[2].toInt(), 1);
  if (!a[4].isNone()) ids = numbers(a[4].toTensor());
  for (const int64_t input : inputs) levels[input] = 0;
  for (int64_t pass = 0; pass < 2 * a[2].toInt(); ++pass) {
    for (size_t e = 0; e < sources.size(); ++e) {
      levels[targets[e]] = std::max(levels[targets[e]], levels[sources[e]] + 1);
    }
    for (size_t m = 0; m < ids.size(); ++m) {
      for (size_t n = 0; n < ids.size(); ++n) {
        if (ids[m] >= 0 && ids[m] == ids[n]) levels[n] = std::max(levels[n], levels[m]);
      }
    }
  }
  return levels;
}

Op levels_row() {
  Op op{.name = "neuron_levels", .launches_kernels = false};
  op.reference = [](const Values& a) -> Values {
    return {ints(levels_of(a)), ints(std::vector<int64_t>(a[2].toInt(), -1))};
  };
  for (const Graph& g : graphs()) {
    op.samples.push_back(
        {g.name, {ints(g.sources), ints(g.targets), g.num_neurons, ints(g.inputs), c10::IValue()}});
  }
  // 0 -> 1 -> 2 and 0 -> 3, where 3 waits for 2; 4 reads 3.
  op.samples.push_back(
      {"operations",
       {ints({0, 1, 0, 3}), ints({1, 2, 3, 4}), 5, ints({0}), ints({-1, -1, 7, 7, -1})}});
  const std::string expected = "neuron_levels: expected ";
  const Tensor none = ints({});
  op.refusals = {
      {{drawn({2}, 1), ints({1, 2}), 3, none},
       expected + "sources of dtype Int or Long, got Double"},
      {{ints({0, 1}), ints({1}), 3, none}, expected + "as many targets as sources, got 1 and 2"},
      {{ints({0}).view({1, 1}), ints({1}), 3, none},
       expected + "sources of one dimension, got [1, 1]"},
      {{ints({0}), ints({1}), -1, none}, expected + "num_neurons in [0, 2147483647], got -1"},
      {{ints({0}), ints({1}), 2, none, ints({1})},
       expected + "operations of shape [neurons = 2], got [1]"},
      {{ints({0}), ints({2}), 2, none}, expected + "targets in [0, 2), got 2 at 0", false},
      {{ints({-1}), ints({1}), 2, none}, expected + "sources in [0, 2), got -1 at 0", false},
      {{ints({0}), ints({1}), 2, ints({5})}, expected + "inputs in [0, 2), got 5 at 0", false}};
  return op;
}

Values structure_arguments(const Graph& g) {
  const Tensor sources = ints(g.sources), targets = ints(g.targets), inputs = ints(g.inputs);
  const auto levels = levels_of({sources, targets, g.num_neurons, inputs, c10::IValue()});
  return {sources, targets, ints(levels), ints(g.activations), inputs, ints(g.outputs)};
}

// By sorting.
Values sorted_structure(const Values& a) {
  std::vector<std::vector<int64_t>> given;
  for (const auto& value : a) given.push_back(numbers(value.toTensor()));
  const auto& [sources, targets, levels, activations, inputs, outputs] =
      std::tie(given[0], given[1], given[2], given[3], given[4], given[5]);
  const int64_t num_neurons = levels.size(), num_edges = sources.size();
  std::vector<int64_t> neurons(num_neurons), positions(num_neurons), edges(num_edges);
  std::iota(neurons.begin(), neurons.end(), 0);
  std::sort(neurons.begin(), neurons.end(), [&](int64_t m, int64_t n) {
    const auto key = [&](int64_t neuron) {
      const auto place = std::find(inputs.begin(), inputs.end(), neuron) - inputs.begin();
      return std::tuple(levels[neuron], activations[neuron] == kSoftmax && levels[neuron] > 0,
                        levels[neuron] == 0 ? place : neuron);
    };
    return key(m) < key(n);
  });
  for (int64_t p = 0; p < num_neurons; ++p) positions[neurons[p]] = p;
  std::iota(edges.begin(), edges.end(), 0);
  const auto by = [&](const auto& first, const auto& second) {
    auto sorted = edges;
    std::stable_sort(sorted.begin(), sorted.end(), [&](int64_t d, int64_t e) {
      return std::pair(positions[first[d]], positions[second[d]]) <
             std::pair(positions[first[e]], positions[second[e]]);
    });
    return sorted;
  };
  const auto by_target = by(targets, sources), by_source = by(sources, targets);
  const auto offsets = [&](const auto& ends) {
    std::vector<int64_t> result(num_neurons + 1);
    for (int64_t p = 0; p <= num_neurons; ++p) {
      result[p] =
          std::count_if(ends.begin(), ends.end(), [&](int64_t end) { return positions[end] < p; });
    }
    return result;
  };
  std::vector<int64_t> activations_of, level_offsets, columns, rows, order, outputs_of;
  for (const int64_t n : neurons) activations_of.push_back(activations[n]);
  for (int64_t level = 0; level <= num_neurons; ++level) {
    level_offsets.push_back(
        std::count_if(levels.begin(), levels.end(), [&](int64_t l) { return l < level; }));
  }
  for (const int64_t e : by_target) columns.push_back(positions[sources[e]]);
  for (const int64_t e : by_source) {
    rows.push_back(positions[targets[e]]);
    order.push_back(std::find(by_target.begin(), by_target.end(), e) - by_target.begin());
  }
  for (const int64_t n : outputs) outputs_of.push_back(positions[n]);
  return {ints(neurons), ints(activations_of), ints(level_offsets),    ints(offsets(targets)),
          ints(columns), ints(by_target),      ints(offsets(sources)), ints(rows),
          ints(order),   ints(outputs_of)};
}

Op structure_row() {
  Op op{.name = "neuron_structure", .launches_kernels = false, .reference = sorted_structure};
  for (const Graph& g : graphs()) op.samples.push_back({g.name, structure_arguments(g)});
  const auto with = [&](size_t place, const Tensor& tensor) {
    Values arguments = structure_arguments(graphs()[3]);
    arguments[place] = tensor;
    return arguments;
  };
  const std::string expected = "neuron_structure: expected ";
  op.refusals = {
      {with(1, ints({0, 3})), expected + "as many targets as sources, got 2 and 3"},
      {with(3, ints({0})), expected + "activations of shape [neurons = 4], got [1]"},
      {with(3, ints({1, 2, 0, 12})), expected + "activations in [0, 12), got 12 at 3", false},
      {with(2, ints({1, 3, 0, -1})), expected + "levels in [0, 4), got -1 at 3", false},
      {with(2, ints({1, 1, 0, 2})),
       expected + "levels to rise along every edge, got 2 and 1 of edge 2 from 3 to 1", false},
      {with(4, ints({})), expected + "level 0 of the inputs alone, got level 0 of neuron 2", false},
      {with(4, ints({2, 2})), expected + "inputs without repetition, got 2 twice", false}};
  return op;
}

Tensor activated(int64_t activation, const Tensor& s) {
  switch (activation) {
    case 1:
      return s.relu();
    case 2:
      return at::selu(s);
    case 3:
      return at::leaky_relu(s, 0.01);
    case 4:
      return s.sigmoid();
    case 6:
      return at::gelu(s, "tanh");
    case 7:
      return s.tanh();
    case 8:
      return at::silu(s);
    case 9:
      return at::gelu(s);
    case 10:
      return at::elu(s);
    case 11:
      return at::logaddexp(s, at::zeros_like(s));
    default:
      return s;
  }
}

// Neuron by neuron. The levels of softmax are those of the structure.
Values graph_reference(const Values& a) {
  const auto dtype = a[0].toTensor().scalar_type();
  const auto wide = [&](const Tensor& t) {
    return t.to(dtype == at::kDouble ? dtype : at::kFloat);
  };
  const Tensor input = wide(a[0].toTensor()), bias = wide(a[2].toTensor());
  Tensor weight = wide(a[1].toTensor());
  if (!a[4].isNone()) {
    const Tensor used = at::where(a[4].toTensor(), weight, 0);
    weight = a[6].toStringRef() == "all" ? straight_through(weight, used) : used;
  }
  const auto s = a[3].toTensorVector();
  const auto neurons = numbers(s[0]), activations = numbers(s[1]), level_offsets = numbers(s[2]);
  const auto row_offsets = numbers(s[3]), columns = numbers(s[4]), edges = numbers(s[5]);
  const int64_t num_neurons = neurons.size();
  std::vector<Tensor> values;
  const auto keep = [&](int64_t position, const Tensor& value) {
    return a[5].isNone() ? value : value * a[5].toTensor().select(1, neurons[position]);
  };
  for (int64_t level = 0; level < num_neurons; ++level) {
    const int64_t begin = level_offsets[level], end = level_offsets[level + 1];
    std::vector<Tensor> sums;
    for (int64_t p = begin; p < end; ++p) {
      Tensor sum = level == 0 ? input.select(1, p) : bias[neurons[p]].expand({input.size(0)});
      for (int64_t e = row_offsets[p]; e < row_offsets[p + 1]; ++e) {
        sum = sum + weight[edges[e]] * values[columns[e]];
      }
      sums.push_back(sum);
    }
    std::vector<Tensor> powers;
    for (int64_t p = begin; p < end; ++p) {
      if (level > 0 && activations[p] == kSoftmax) powers.push_back(sums[p - begin]);
    }
    const Tensor total = powers.empty() ? Tensor() : at::stack(powers).logsumexp(0);
    for (int64_t p = begin; p < end; ++p) {
      const Tensor& sum = sums[p - begin];
      const Tensor value = level == 0                   ? sum
                           : activations[p] == kSoftmax ? (sum - total).exp()
                                                        : activated(activations[p], sum);
      values.push_back(keep(p, value));
    }
  }
  std::vector<Tensor> outputs;
  for (const int64_t p : numbers(s[9])) outputs.push_back(values[p]);
  const Tensor output =
      outputs.empty() ? at::zeros({input.size(0), 0}, input.options()) : at::stack(outputs, 1);
  return {output.to(dtype)};
}

Values graph_arguments(const Graph& g, int64_t batch) {
  c10::List<Tensor> structure;
  for (const auto& part : sorted_structure(structure_arguments(g))) {
    structure.push_back(part.toTensor());
  }
  const int64_t num_edges = g.sources.size();
  return {drawn({batch, int64_t(g.inputs.size())}, 1),
          drawn({num_edges}, 2),
          drawn({g.num_neurons}, 3),
          structure,
          c10::IValue(),
          c10::IValue(),
          "all",
          true};
}

std::vector<Refusal> refused_graphs() {
  const auto with = [](size_t place, const c10::IValue& value) {
    Values arguments = graph_arguments(graphs()[3], 2);
    arguments[place] = value;
    return arguments;
  };
  const auto with_part = [&](size_t part, const Tensor& tensor) {
    auto structure = graph_arguments(graphs()[3], 2)[3].toTensorVector();
    structure[part] = tensor;
    return with(3, c10::List<Tensor>(structure));
  };
  const std::string expected = "neuron_graph: expected ";
  return {
      {with(0, drawn({2}, 1)),
       expected + "input of shape [batch, inputs], of at most 4 inputs, got [2]"},
      {with(0, drawn({2, 2}, 1)), expected + "input of 1 inputs, got 2", false},
      {with(1, drawn({2}, 1)), expected + "columns of shape [2], got [3]"},
      {with(1, ints({1, 2, 3})),
       expected + "weight of dtype Float, Double, Half or BFloat16, got Int"},
      {with(2, drawn({3}, 1)), expected + "bias of shape [4], got [3]"},
      {with(3, c10::List<Tensor>({ints({1})})), expected + "structure of 10 tensors, got 1"},
      {with(4, at::ones({2}, at::kBool)), expected + "mask of shape [3], got [2]"},
      {with(5, at::ones({2, 3}, at::kBool)),
       expected + "keep of shape [batch, neurons] = [2, 4], got [2, 3]"},
      {with(6, "candidates"), expected + "gradient `all` or `kept`, got `candidates`"},
      {with_part(0, drawn({4}, 1)), expected + "neurons of dtype Int, got Double"},
      {with_part(0, ints({0, 1, 2, 4})), expected + "neurons in [0, 4)", false},
      {with_part(1, ints({0, 1, 2, 12})), expected + "activations in [0, 12)", false},
      {with_part(3, ints({0, 0, 2, 1, 3})), expected + "row_offsets to ascend from 0 to 3", false},
      {with_part(4, ints({0, 2, 2})),
       expected + "columns of each row to ascend, and to lie in levels below, got others in row "
                  "2",
       false},
      {with_part(5, ints({0, 1, 3})), expected + "edges in [0, 3)", false},
      {with_part(9, ints({-1})), expected + "outputs in [0, 4)", false}};
}

struct Way {
  bool mask = false;
  std::string gradient = "all";
  bool keep = false;
  bool keep_state = true;
};

Op graph_row(const Way& way) {
  Op op{.name = "neuron_graph",
        .gradient = !way.keep_state                     ? Gradient::kRefused
                    : way.mask && way.gradient == "all" ? Gradient::kStraightThrough
                                                        : Gradient::kDerivative,
        .steps = 10,
        .untold = 1,  // the state
        .sums = true,
        .reference = graph_reference,
        .refusals = refused_graphs()};
  const auto add = [&](const Graph& graph, int64_t batch, bool large = false) {
    Values arguments = graph_arguments(graph, batch);
    if (way.mask) {
      arguments[4] = drawn({int64_t(graph.sources.size())}, 5) > 0;
    }
    if (way.keep) arguments[5] = drawn({batch, graph.num_neurons}, 6) > -0.5;
    arguments[6] = way.gradient;
    arguments[7] = way.keep_state;
    op.samples.push_back({graph.name + ", " + std::to_string(batch), arguments, large});
  };
  for (const Graph& graph : graphs()) add(graph, 2);
  add(graphs()[0], 0);
  add(graphs()[1], 35);
  add(graphs()[1], 150, true);
  add(graphs()[4], 300, true);
  return op;
}

}  // namespace

std::vector<Op> neuron_rows() {
  return {levels_row(),
          structure_row(),
          graph_row({}),
          graph_row({.mask = true}),
          graph_row({.mask = true, .gradient = "kept"}),
          graph_row({.keep = true}),
          graph_row({.keep_state = false})};
}

}  // namespace rewire::test
