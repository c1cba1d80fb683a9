#include "models/view.h"

#include <ATen/ops/bincount.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "models/neurons.h"

namespace rewire::models {
namespace {

// The number of a channel that receives, where those that send are counted from 0 on. Blocks of one
// state hand on to each other; but what the last one receives is drawn as a column of its own.
int64_t receiver(const Wiring& wiring, int64_t senders, int64_t target, int64_t source) {
  if (wiring.groups.size() == 1) return senders + target;
  if (!wiring.one_state) return wiring.first_target + target;
  const bool of_last_block = source >= senders - wiring.groups.back();
  return of_last_block ? target + wiring.outputs : target;
}

// Weights by which a convolution reads one channel.
int64_t taps_of(const Model& model, const Wiring& wiring) {
  const at::Tensor weight = wiring_module(model, wiring).attr("weight").toTensor();
  return weight.dim() == 4 ? weight.size(2) * weight.size(3) : 1;
}

}  // namespace

EdgeList list_edges(const Model& model, const Wiring& wiring) {
  const at::Tensor used = edges_in_use(model, wiring);
  const at::Tensor weights = weights_in_use(model, wiring).to(at::kFloat).masked_select(used);
  if (wiring.of_neurons) {
    const EdgeEnds ends = edge_ends(model.module);
    const at::Tensor own = used.flatten(), sources = ends.sources.masked_select(own);
    const int64_t senders = std::accumulate(wiring.groups.begin(), wiring.groups.end(), int64_t{0});
    return {senders, senders - wiring.groups[0] + wiring.outputs,        1,
            sources, ends.targets.masked_select(own) - wiring.groups[0], at::zeros_like(sources),
            weights};
  }
  const int64_t taps = taps_of(model, wiring);
  const at::Tensor places = used.nonzero();  // [edges, 2]: target, source and tap
  const at::Tensor columns = places.select(1, 1);
  return {
      used.size(1) / taps,     used.size(0), taps, columns.floor_divide(taps), places.select(1, 0),
      columns.remainder(taps), weights};
}

Degrees degrees_of(const Model& model, const Wiring& wiring) {
  if (wiring.of_neurons) {
    const EdgeList edges = list_edges(model, wiring);
    return {at::bincount(edges.targets, {}, edges.num_targets),
            at::bincount(edges.sources, {}, edges.num_sources)};
  }
  const at::Tensor used = edges_in_use(model, wiring);
  return {used.sum(1), used.sum(0).view({-1, taps_of(model, wiring)}).sum(1)};
}

graph::WiringView view_of(const Model& model, const Wiring& wiring, int64_t most) {
  const EdgeList edges = list_edges(model, wiring);
  graph::WiringView view{.title = wiring.name, .subtitle = {}, .columns = {}, .edges = {}};
  for (size_t i = 0; i < wiring.groups.size(); ++i) {
    const std::string name = wiring.of_neurons ? wiring.names[i]
                             : i == 0          ? "input"
                                               : fmt::format("block {}", i);
    view.columns.push_back({name, wiring.groups[i] / edges.num_taps});
  }
  if (!wiring.of_neurons) view.columns.push_back({"output", wiring.outputs});

  const int64_t num_edges = edges.weights.numel();
  const int64_t drawn = std::min(num_edges, most);
  view.subtitle = drawn < num_edges
                      ? fmt::format("the strongest {} of {} edges in use", drawn, num_edges)
                      : fmt::format("{} edges in use", num_edges);
  const at::Tensor strongest = std::get<1>(at::topk(edges.weights.abs(), drawn));
  const auto chosen = [&](const at::Tensor& of_all) { return of_all.index_select(0, strongest); };
  const at::Tensor sources = chosen(edges.sources), targets = chosen(edges.targets);
  const at::Tensor weights = chosen(edges.weights);
  for (int64_t i = 0; i < drawn; ++i) {
    const int64_t source = sources.const_data_ptr<int64_t>()[i];
    const int64_t target = targets.const_data_ptr<int64_t>()[i];
    view.edges.push_back({source, receiver(wiring, edges.num_sources, target, source),
                          weights.const_data_ptr<float>()[i]});
  }
  return view;
}

graph::Picture matrix_of(const Model& model, const Wiring& wiring) {
  at::Tensor weights = weights_in_use(model, wiring).to(at::kFloat).contiguous();
  at::Tensor readable = wiring.readable.to(at::kByte).contiguous();
  if (wiring.of_neurons) {
    const EdgeEnds candidates = edge_ends(model.module);
    const EdgeList edges = list_edges(model, wiring);
    const auto matrix = [&](at::ScalarType type) {
      return at::zeros({edges.num_targets, edges.num_sources}, type);
    };
    const auto places = [](const at::Tensor& targets, const at::Tensor& sources) {
      return c10::List<std::optional<at::Tensor>>({targets, sources});
    };
    weights = matrix(at::kFloat)
                  .index_put_(places(edges.targets, edges.sources), edges.weights,
                              /*accumulate=*/true);
    readable = matrix(at::kByte).index_put_(
        places(candidates.targets - wiring.groups[0], candidates.sources), at::ones({}, at::kByte));
  }
  return graph::draw_matrix(weights.size(0), weights.size(1),
                            {weights.const_data_ptr<float>(), size_t(weights.numel())},
                            {readable.const_data_ptr<uint8_t>(), size_t(readable.numel())});
}

}  // namespace rewire::models
