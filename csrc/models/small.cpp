// The small classifiers. Names of parameters and buffers are the published ones:
// downsample.{0,1,3,4,5}, conv.weight, graph.weight (and mask), norm.{i} or norm, fc, zeros; in
// continuous time odesolve.odefunc.{conv,graph,norm}.
// Source: Wortsman, Farhadi, Rastegari 2019, section 4.1, and its published code.
#include "models/small.h"

#include "graph/wired_blocks.h"
#include "models/layers.h"
#include "models/wiring.h"

namespace rewire::models {
namespace {

namespace jit = torch::jit;

constexpr int64_t kStemWidth = 16;  // channels between the two halves of the published stem

jit::Module stem(const SmallDescription& description, int64_t channels, at::Generator& generator) {
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

struct Network {
  const SmallDescription& description;
  const data::ImageSpec& spec;
  at::Generator& generator;
  int64_t side() const { return map_size(description, spec.size); }
};

// The convolution and the candidates of every kind, in `module`.
void add_wired_layer(const Network& network, jit::Module& module,
                     const std::vector<uint8_t>& impossible) {
  const int64_t dim = network.description.dim;
  module.register_module(
      "conv", conv2d({.in = dim, .out = dim, .kernel = 3, .groups = dim, .with_bias = false},
                     network.generator));
  module.register_module(
      "graph", wiring(network.description.wiring, dim, dim, impossible, network.generator));
  module.register_attribute("execution", c10::StringType::get(), std::string("auto"));
}

// Blocks of the static classifier.
std::vector<graph::WiredBlock> blocks_of(const SmallDescription& description) {
  return graph::static_blocks(description.dim, description.layers, description.downsample_dim,
                              description.feature_dim);
}

void add_static(const Network& network, jit::Module& module) {
  const SmallDescription& d = network.description;
  const auto blocks = blocks_of(d);
  add_wired_layer(network, module,
                  graph::impossible_edges(d.dim, d.dim, d.downsample_dim, d.feature_dim));
  module.register_module("norm", norms(blocks));
  std::vector<int64_t> ends, targets;
  for (const graph::WiredBlock& block : blocks) {
    ends.push_back(block.end);
    targets.push_back(block.target);
  }
  add_ints(module, "ends", ends);
  add_ints(module, "targets", targets);
}

// A layer whose channels may all send to all, and the norm behind it.
void add_step(const Network& network, jit::Module& module) {
  const int64_t dim = network.description.dim;
  add_wired_layer(network, module, std::vector<uint8_t>(dim * dim, 0));
  module.register_module("norm", instance_norm2d(dim));
  script::define(module, "wired_step");
}

jit::Module ode_solver(const Network& network) {
  jit::Module derivative = script::new_module("Derivative");
  add_step(network, derivative);
  script::define(derivative, "derivative");
  jit::Module solver = script::new_module("OdeSolver");
  solver.register_module("odefunc", derivative);
  solver.register_attribute("tolerance", c10::FloatType::get(), network.description.tolerance);
  script::define(solver, "ode_solve");
  return solver;
}

// Evaluations of the wired layer: of a differential equation the fewest that solve it, 2 for the
// first step's size and 6 a step.
int64_t evaluations(const SmallDescription& description) {
  if (description.kind == "static") return 1;
  return description.kind == "discrete" ? description.steps : 8;
}

// The static classifier's blocks read parts of the candidates, the others all.
Wiring wiring_of(const Network& network) {
  const SmallDescription& d = network.description;
  const int64_t dim = d.dim, side = network.side();
  Wiring wiring{.name = d.kind == "continuous" ? "odesolve.odefunc.graph" : "graph",
                .rule = d.wiring,
                .readable = at::ones({dim, dim}, at::kBool),
                .positions = evaluations(d) * side * side,
                .groups = {dim},
                .outputs = d.kind == "static" ? d.feature_dim : dim,
                .one_state = d.kind == "static"};
  if (d.kind != "static") return wiring;
  const auto blocks = blocks_of(d);
  std::vector<uint8_t> readable = graph::readable_edges(dim, dim, blocks);
  wiring.readable = at::from_blob(readable.data(), {dim, dim}, at::kByte).to(at::kBool);
  wiring.groups.clear();
  for (const graph::WiredBlock& block : blocks) wiring.groups.push_back(block.end - block.begin);
  return wiring;
}

// Stem, depthwise convolution (9 taps a channel of the state) and classifier.
std::vector<Layer> layers_of(const Network& network) {
  const SmallDescription& description = network.description;
  const int64_t in = network.spec.channels, d = description.downsample_dim;
  const int64_t half = (network.spec.size + 1) / 2, places = network.side() * network.side();
  std::vector<Layer> layers;
  const auto add = [&](const std::string& name, int64_t parameters, int64_t positions) {
    layers.push_back({name, parameters, parameters * positions});
  };
  if (description.stem == "single") {
    add("downsample.0", 9 * in * d, places);
  } else {
    add("downsample.0", 9 * in * kStemWidth, half * half);
    add("downsample.3", 9 * kStemWidth, places);
    add("downsample.4", kStemWidth * d, places);
  }
  const std::string owner = description.kind == "continuous" ? "odesolve.odefunc." : "";
  add(owner + "conv", 9 * description.dim, places * evaluations(description));
  add("fc", description.feature_dim * int64_t(network.spec.classes.size()), 1);
  return layers;
}

}  // namespace

Model build_small(const SmallDescription& description, const data::ImageSpec& spec,
                  at::Generator& generator) {
  const Network network{description, spec, generator};
  const std::string& kind = description.kind;
  const int64_t d = description.downsample_dim, side = network.side();
  jit::Module module = script::new_module("SmallClassifier");
  module.register_buffer("zeros", at::zeros({1, description.dim - d, side, side}));
  module.register_module("downsample", stem(description, spec.channels, generator));
  if (kind == "static") add_static(network, module);
  if (kind == "discrete") add_step(network, module);
  if (kind == "continuous") module.register_module("odesolve", ode_solver(network));
  module.register_module("pool", pool(description.pool));
  module.register_module("fc",
                         linear(description.feature_dim, int64_t(spec.classes.size()), generator));
  module.register_attribute("features", c10::IntType::get(), description.feature_dim);
  module.register_attribute("steps", c10::IntType::get(), description.steps);
  script::define(module, kind, {{"blocks", description.layers}});
  return {module, {wiring_of(network)}, layers_of(network)};
}

}  // namespace rewire::models
