// Graphs of neurons on every instruction set that this machine has, against plain loops in float64.
#include "kernels/cpu/neuron_graph.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "every_target.h"
#include "kernels/neuron_activations.h"

namespace {

using namespace rewire::kernels;
using namespace rewire::test;

constexpr int64_t kInputs = 3, kNeurons = kInputs + 2 * (kNumActivations + 2);

// Two levels in which each neuron reads from the level below where (7 source + 5 target) % 3 is 0;
// of each activation one neuron, of softmax three, which are neighbours.
struct Graph {
  std::vector<int32_t> level_offsets, activations = {0, 0, 0}, row_offsets{0}, columns;
  std::vector<int32_t> column_offsets{0}, rows, order;

  Graph() : level_offsets(kNeurons + 1, kNeurons) {
    const int64_t width = (kNeurons - kInputs) / 2;
    level_offsets[0] = 0;
    level_offsets[1] = kInputs;
    level_offsets[2] = kInputs + width;
    for (int level = 0; level < 2; ++level) {
      for (int32_t a = 0; a < kNumActivations; ++a) {
        activations.insert(activations.end(),
                           a == static_cast<int32_t>(Activation::kSoftmax) ? 3 : 1, a);
      }
    }
    for (int64_t v = 0; v < kNeurons; ++v) {
      const int64_t begin = v < kInputs ? 0 : v < kInputs + width ? 0 : kInputs;
      const int64_t end = v < kInputs ? 0 : v < kInputs + width ? kInputs : kInputs + width;
      for (int64_t u = begin; u < end; ++u) {
        if ((7 * u + 5 * v) % 3 == 0) columns.push_back(u);
      }
      row_offsets.push_back(columns.size());
    }
    for (int64_t u = 0; u < kNeurons; ++u) {
      for (int64_t v = 0; v < kNeurons; ++v) {
        for (int32_t e = row_offsets[v]; e < row_offsets[v + 1]; ++e) {
          if (columns[e] != u) continue;
          rows.push_back(v);
          order.push_back(e);
        }
      }
      column_offsets.push_back(rows.size());
    }
  }
  NeuronLevels levels() const { return {kNeurons, level_offsets.data(), activations.data()}; }
};

double activated(Activation activation, double s) {
  constexpr double kScale = 1.0507009873554805, kAlpha = 1.6732632423543772;
  switch (activation) {
    case Activation::kRelu:
      return s > 0 ? s : 0;
    case Activation::kSelu:
      return kScale * (s > 0 ? s : kAlpha * std::expm1(s));
    case Activation::kLeakyRelu:
      return s > 0 ? s : 0.01 * s;
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-s));
    case Activation::kGeluTanh:
      return s / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (s + 0.044715 * s * s * s)));
    case Activation::kTanh:
      return std::tanh(s);
    case Activation::kSilu:
      return s / (1 + std::exp(-s));
    case Activation::kGelu:
      return s / 2 * (1 + std::erf(s / std::sqrt(2)));
    case Activation::kElu:
      return s > 0 ? s : std::expm1(s);
    case Activation::kSoftplus:
      return std::log1p(std::exp(s));
    default:
      return s;
  }
}

// All values of one sample.
std::vector<double> values_of(const Graph& graph, const std::vector<double>& weights,
                              const std::vector<double>& biases, std::vector<double> values,
                              const std::vector<double>& keep) {
  values.resize(kNeurons);
  for (int64_t v = 0; v < kInputs; ++v) values[v] *= keep[v];
  for (int64_t v = kInputs; v < kNeurons; ++v) {
    const auto sum_of = [&](int64_t neuron) {
      double sum = biases[neuron];
      for (int32_t e = graph.row_offsets[neuron]; e < graph.row_offsets[neuron + 1]; ++e) {
        sum += weights[e] * values[graph.columns[e]];
      }
      return sum;
    };
    const auto activation = static_cast<Activation>(graph.activations[v]);
    double value = activated(activation, sum_of(v));
    if (activation == Activation::kSoftmax) {
      int64_t first = v, end = v;
      while (graph.activations[first - 1] == graph.activations[v]) --first;
      while (graph.activations[end] == graph.activations[v]) ++end;
      double total = 0;
      for (int64_t n = first; n < end; ++n) total += std::exp(sum_of(n));
      value = std::exp(sum_of(v)) / total;
    }
    values[v] = value * keep[v];
  }
  return values;
}

// By differences: total_with(i, step) is the total with a step of the i-th of `count` numbers.
template <typename F>
std::vector<double> derivatives(int64_t count, F&& total_with) {
  constexpr double kStep = 1e-6;
  std::vector<double> result(count);
  for (int64_t i = 0; i < count; ++i) {
    result[i] = (total_with(i, kStep) - total_with(i, -kStep)) / (2 * kStep);
  }
  return result;
}

template <typename T>
void check_graph(int64_t batch) {
  SCOPED_TRACE(testing::Message() << batch << " samples");
  const Graph graph;
  const int64_t num_edges = graph.columns.size();
  const auto weights = numbers(num_edges, 1), biases = numbers(kNeurons, 2);
  const auto inputs = numbers(batch * kInputs, 3), at = numbers(batch * kNeurons, 4);
  const auto typed_weights = in_type<T>(weights), typed_biases = in_type<T>(biases);
  std::vector<T> by_source;
  for (const int32_t e : graph.order) by_source.push_back(weights[e]);
  std::vector<int32_t> all(kNeurons);
  std::iota(all.begin(), all.end(), 0);

  std::vector<T> values(kNeurons * padded(batch)), slopes(values.size()), gradients(values.size());
  std::vector<T> out(batch * kNeurons), grad_inputs(batch * kInputs);
  std::vector<T> grad_weights(num_edges), grad_biases(kNeurons);
  const auto kept = [](int64_t v, int64_t sample) { return (v + sample) % 5 != 0; };
  const auto& kernels = neuron_kernels<T>();
  const auto typed_inputs = in_type<T>(inputs), typed_at = in_type<T>(at);
  for (int64_t i = 0; i < num_tiles(batch); ++i) {
    const NeuronTile tile = tile_at(batch, i);
    const int64_t offset = tile.offset(kNeurons);
    std::vector<char> keep;
    for (int64_t v = 0; v < kNeurons; ++v) {
      for (int64_t lane = 0; lane < tile.lanes; ++lane) {
        keep.push_back(kept(v, tile.first + std::min(lane, tile.samples - 1)));
      }
    }
    std::vector<T> scratch(kNeurons * tile.lanes);
    kernels.load(typed_inputs.data(), kInputs, kInputs, tile, values.data() + offset);
    kernels.forward(graph.levels(),
                    {graph.row_offsets.data(), graph.columns.data(), typed_weights.data()},
                    typed_biases.data(), tile, reinterpret_cast<const bool*>(keep.data()),
                    values.data() + offset, slopes.data() + offset);
    kernels.store(values.data() + offset, all.data(), kNeurons, tile, scratch.data(), out.data());
    kernels.load(typed_at.data(), kNeurons, kNeurons, tile, gradients.data() + offset);
    for (int64_t v = 0; v < kNeurons; ++v) {
      for (int64_t lane = tile.samples; lane < tile.lanes; ++lane) {
        gradients[offset + v * tile.lanes + lane] = 0;
      }
    }
    kernels.backward(
        graph.levels(), {graph.column_offsets.data(), graph.rows.data(), by_source.data()}, tile,
        values.data() + offset, slopes.data() + offset, gradients.data() + offset, true);
    kernels.store(gradients.data() + offset, nullptr, kInputs, tile, nullptr, grad_inputs.data());
    kernels.grad_weights(graph.row_offsets.data(), graph.columns.data(), kInputs, kNeurons, tile,
                         values.data() + offset, gradients.data() + offset, grad_weights.data(),
                         grad_biases.data());
  }

  const auto values_with = [&](const auto& w, const auto& b, const auto& x, int64_t sample) {
    std::vector<double> keep(kNeurons);
    for (int64_t v = 0; v < kNeurons; ++v) keep[v] = kept(v, sample);
    return values_of(graph, w, b,
                     {x.begin() + sample * kInputs, x.begin() + (sample + 1) * kInputs}, keep);
  };
  std::vector<double> expected;
  for (int64_t sample = 0; sample < batch; ++sample) {
    const auto of_sample = values_with(weights, biases, inputs, sample);
    expected.insert(expected.end(), of_sample.begin(), of_sample.end());
  }
  expect_close(out, expected);

  const auto total_of = [&](const auto& w, const auto& b, const auto& x, int64_t sample) {
    const auto of_sample = values_with(w, b, x, sample);
    return std::inner_product(of_sample.begin(), of_sample.end(), at.begin() + sample * kNeurons,
                              0.0);
  };
  const auto total = [&](const auto& w, const auto& b) {
    double sum = 0;
    for (int64_t sample = 0; sample < batch; ++sample) sum += total_of(w, b, inputs, sample);
    return sum;
  };
  const auto changed = [](std::vector<double> numbers, int64_t i, double step) {
    numbers[i] += step;
    return numbers;
  };
  constexpr double kError = 1e-7;  // of differences
  expect_close(
      grad_weights,
      derivatives(num_edges,
                  [&](int64_t i, double step) { return total(changed(weights, i, step), biases); }),
      kError);
  auto of_biases = derivatives(
      kNeurons, [&](int64_t i, double step) { return total(weights, changed(biases, i, step)); });
  expect_close(grad_biases, of_biases, kError);
  expect_close(grad_inputs,
               derivatives(batch * kInputs,
                           [&](int64_t i, double step) {
                             return total_of(weights, biases, changed(inputs, i, step),
                                             i / kInputs);
                           }),
               kError);
}

using NeuronGraph = EveryTarget;

TEST_P(NeuronGraph, HasTheValuesAndDerivativesOfItsFormula) {
  for (const int64_t batch : {1, 16, 23, 140, 257}) {
    check_graph<float>(batch);
    check_graph<double>(batch);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, NeuronGraph, testing::ValuesIn(targets()), target_name);

}  // namespace
