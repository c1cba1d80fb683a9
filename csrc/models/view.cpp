#include "models/view.h"

#include <ATen/ops/topk.h>
#include <fmt/format.h>

#include <algorithm>

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

}  // namespace

int64_t taps_of(const Model& model, const Wiring& wiring) {
  const at::Tensor weight = wiring_module(model, wiring).attr("weight").toTensor();
  return weight.dim() == 4 ? weight.size(2) * weight.size(3) : 1;
}

graph::WiringView view_of(const Model& model, const Wiring& wiring, int64_t most) {
  const at::Tensor weights = weights_in_use(model, wiring).to(at::kFloat).contiguous();
  const int64_t width = weights.size(1), taps = taps_of(model, wiring), senders = width / taps;
  graph::WiringView view{.title = wiring.name, .subtitle = {}, .columns = {}, .edges = {}};
  for (size_t i = 0; i < wiring.groups.size(); ++i) {
    view.columns.push_back(
        {i == 0 ? "input" : fmt::format("block {}", i), wiring.groups[i] / taps});
  }
  view.columns.push_back({"output", wiring.outputs});

  const auto num_edges = (weights != 0).sum().item<int64_t>();
  const int64_t drawn = std::min(num_edges, most);
  view.subtitle = drawn < num_edges
                      ? fmt::format("the strongest {} of {} edges in use", drawn, num_edges)
                      : fmt::format("{} edges in use", num_edges);
  const at::Tensor places = std::get<1>(at::topk(weights.abs().flatten(), drawn)).contiguous();
  const float* weight = weights.const_data_ptr<float>();
  for (int64_t i = 0; i < drawn; ++i) {
    const int64_t place = places.const_data_ptr<int64_t>()[i];
    const int64_t target = place / width, source = place % width / taps;
    view.edges.push_back({source, receiver(wiring, senders, target, source), weight[place]});
  }
  return view;
}

graph::Picture matrix_of(const Model& model, const Wiring& wiring) {
  const at::Tensor weights = weights_in_use(model, wiring).to(at::kFloat).contiguous();
  const at::Tensor readable = wiring.readable.to(at::kByte).contiguous();
  return graph::draw_matrix(weights.size(0), weights.size(1),
                            {weights.const_data_ptr<float>(), size_t(weights.numel())},
                            {readable.const_data_ptr<uint8_t>(), size_t(readable.numel())});
}

}  // namespace rewire::models
