// The static small classifier. Names of parameters and buffers are the published ones:
// downsample.{0,1,3,4,5}, conv.weight, graph.weight (and mask), norm.{i}, fc, zeros.
// Source: Wortsman, Farhadi, Rastegari 2019, section 4.1, and its published code.
#include "models/static.h"

#include "graph/wired_blocks.h"
#include "models/layers.h"
#include "models/wiring.h"

namespace rewire::models {
namespace {

namespace jit = torch::jit;

constexpr int64_t kStemWidth = 16;  // channels between the two halves of the published stem

jit::Module stem(const StaticDescription& description, int64_t channels, at::Generator& generator) {
  const int64_t out = description.downsample_dim;
  if (description.stem == "single") {
    return sequential(
        {conv2d({.in = channels, .out = out, .kernel = 3}, generator), batch_norm2d(out)});
  }
  return sequential(
      {conv2d({.in = channels, .out = kStemWidth, .kernel = 3, .stride = 2}, generator),
       batch_norm2d(kStemWidth), relu(),
       conv2d({.in = kStemWidth, .out = kStemWidth, .kernel = 3, .stride = 2, .groups = kStemWidth},
              generator),
       conv2d({.in = kStemWidth, .out = out}, generator), batch_norm2d(out)});
}

jit::Module norms(const std::vector<graph::WiredBlock>& blocks) {
  jit::Module list = script::new_module("Norms");
  for (size_t i = 0; i < blocks.size(); ++i) {
    list.register_module(std::to_string(i), instance_norm2d(blocks[i].end - blocks[i].begin));
  }
  return list;
}

jit::Module pool(const std::string& kind) {
  jit::Module module = script::new_module("Pool");
  script::define(module, "pool_" + kind);
  return module;
}

// Stem, depthwise convolutions (9 taps a channel of the state) and classifier.
int64_t other_macs(const StaticDescription& description, const data::ImageSpec& spec) {
  const int64_t d = description.downsample_dim, side = map_size(description, spec.size);
  const int64_t half = (spec.size + 1) / 2;
  const int64_t stem = description.stem == "single"
                           ? 9 * spec.channels * d * side * side
                           : 9 * spec.channels * kStemWidth * half * half +
                                 (9 * kStemWidth + kStemWidth * d) * side * side;
  const int64_t classifier = description.feature_dim * int64_t(spec.classes.size());
  return stem + 9 * description.dim * side * side + classifier;
}

}  // namespace

Model build_static(const StaticDescription& description, const data::ImageSpec& spec,
                   at::Generator& generator) {
  const int64_t dim = description.dim, feature = description.feature_dim;
  const int64_t side = map_size(description, spec.size);
  const auto blocks =
      graph::static_blocks(dim, description.layers, description.downsample_dim, feature);

  jit::Module module = script::new_module("StaticClassifier");
  module.register_buffer("zeros", at::zeros({1, dim - description.downsample_dim, side, side}));
  module.register_module("downsample", stem(description, spec.channels, generator));
  module.register_module(
      "conv",
      conv2d({.in = dim, .out = dim, .kernel = 3, .groups = dim, .with_bias = false}, generator));
  module.register_module(
      "graph",
      wiring(description.wiring, dim, dim,
             graph::impossible_edges(dim, dim, description.downsample_dim, feature), generator));
  module.register_module("norm", norms(blocks));
  module.register_module("pool", pool(description.pool));
  module.register_module("fc", linear(feature, int64_t(spec.classes.size()), generator));
  module.register_attribute("execution", c10::StringType::get(), std::string("auto"));
  std::vector<int64_t> ends, targets;
  for (const graph::WiredBlock& block : blocks) {
    ends.push_back(block.end);
    targets.push_back(block.target);
  }
  add_ints(module, "ends", ends);
  add_ints(module, "targets", targets);
  script::define(module, "static", {{"blocks", int64_t(blocks.size())}});

  Wiring wiring{.name = "graph",
                .rule = description.wiring,
                .readable = {},
                .positions = side * side,
                .groups = {},
                .outputs = feature};
  const std::vector<uint8_t> readable = graph::readable_edges(dim, dim, blocks);
  wiring.readable =
      at::from_blob(const_cast<uint8_t*>(readable.data()), {dim, dim}, at::kByte).to(at::kBool);
  for (const graph::WiredBlock& block : blocks) wiring.groups.push_back(block.end - block.begin);
  return {module, {wiring}, other_macs(description, spec)};
}

}  // namespace rewire::models
