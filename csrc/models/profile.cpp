#include "models/profile.h"

#include <cmath>

#include "models/fast_eval.h"

namespace rewire::models {
namespace {

Cost of_edges(int64_t edges, int64_t positions) { return {edges, edges * positions}; }

// Every layer in order, the wired ones behind those outside of them.
std::vector<LayerProfile> by_layer(const Model& model) {
  std::vector<LayerProfile> rows;
  for (const Layer& layer : model.layers) {
    const Cost cost{layer.parameters, layer.macs};
    rows.push_back({layer.name, cost, cost, cost});
  }
  for (const Wiring& wiring : model.wirings) {
    const Cost used = of_edges(edges_in_use(model, wiring).sum().item<int64_t>(), wiring.positions);
    rows.push_back({wiring.name, of_edges(wiring.readable.sum().item<int64_t>(), wiring.positions),
                    used, used});
  }
  return rows;
}

// The published rule of a wired stage.
Cost published_stage(const Wiring& wiring, const Alive& alive) {
  const double candidates = double(wiring.readable.size(0)) * double(wiring.readable.size(1));
  const double edges = candidates * (1 - wiring.rule.prune_rate);
  const int64_t taps = 9 * alive.senders.sum().item<int64_t>();
  return {int64_t(std::floor(edges)) + taps,
          int64_t(std::floor(edges * double(wiring.positions))) + taps * wiring.positions};
}

// A stage is one row, as published: its edges and its depthwise convolutions.
std::vector<LayerProfile> by_stage(const Model& model, const WiredMobileNetV1Description& network) {
  std::vector<LayerProfile> layers = by_layer(model);
  const auto named = [&](const std::string& name) {
    for (const LayerProfile& row : layers) {
      if (row.name == name) return row;
    }
    TORCH_INTERNAL_ASSERT(false, "no layer named ", name);
  };
  const size_t stages = model.wirings.size() - (network.small ? 1 : 0);
  std::vector<Alive> alive;
  for (size_t i = 0; i < stages; ++i) alive.push_back(alive_channels(model, model.wirings[i]));

  const auto scaled = [](const Cost& cost, const at::Tensor& mask) {
    const int64_t left = mask.sum().item<int64_t>(), of = mask.numel();
    return Cost{cost.parameters / of * left, cost.macs / of * left};
  };
  LayerProfile first = named("conv1");
  first.fast_eval = scaled(first.dense, alive[0].inputs);
  std::vector<LayerProfile> rows{first};
  for (size_t i = 0; i < stages; ++i) {
    const Wiring& wiring = model.wirings[i];
    const std::string name = "layers." + std::to_string(i);
    const LayerProfile edges = named(wiring.name), taps = named(name + ".depthwise");
    const auto sum = [](const Cost& a, const Cost& b) {
      return Cost{a.parameters + b.parameters, a.macs + b.macs};
    };
    rows.push_back({name, sum(edges.dense, taps.dense), sum(edges.wired, taps.wired),
                    published_stage(wiring, alive[i])});
  }
  const at::Tensor& outputs = alive.back().outputs;
  LayerProfile pool = named("pool");
  pool.fast_eval = scaled(pool.dense, outputs);
  rows.push_back(pool);
  LayerProfile linear = named(network.small ? "linear.graph" : "linear");
  linear.name = "linear";
  if (!network.small) linear.fast_eval = scaled(linear.dense, outputs);
  rows.push_back(linear);
  return rows;
}

}  // namespace

std::vector<LayerProfile> profile(const Model& model, const Description& description) {
  if (const auto* network = std::get_if<WiredMobileNetV1Description>(&description)) {
    return by_stage(model, *network);
  }
  return by_layer(model);
}

}  // namespace rewire::models
