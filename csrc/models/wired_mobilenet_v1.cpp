#include "models/wired_mobilenet_v1.h"

#include "graph/wired_blocks.h"
#include "models/layers.h"
#include "models/mobilenet_v1.h"
#include "models/wiring.h"

namespace rewire::models {
namespace {

namespace jit = torch::jit;

constexpr StageShape kStages[] = {
    {32, 64, 1, 1}, {64, 128, 2, 2}, {128, 256, 2, 2}, {256, 512, 2, 6}, {512, 1024, 2, 2}};
constexpr int64_t kFeatures = 1024;

// Channels that a stage's graph has as sources and as targets.
int64_t senders(const StageShape& shape) { return shape.in + (shape.depth - 1) * shape.out; }
int64_t receivers(const StageShape& shape) { return shape.depth * shape.out; }

Wiring wiring_of(const StageShape& shape, const WiringDescription& rule, const std::string& name,
                 int64_t side) {
  const auto blocks = graph::stage_blocks(shape.in, shape.out, shape.depth);
  const auto readable = graph::readable_edges(receivers(shape), senders(shape), blocks);
  Wiring wiring{.name = name,
                .rule = rule,
                .readable = at::from_blob(const_cast<uint8_t*>(readable.data()),
                                          {receivers(shape), senders(shape)}, at::kByte)
                                .to(at::kBool),
                .positions = side * side,
                .groups = {},
                .outputs = shape.out,
                .first_target = shape.in};
  for (const graph::WiredBlock& block : blocks) wiring.groups.push_back(block.end - block.begin);
  return wiring;
}

// The classifier of a `small` network: wired, and without bias but where its wiring is fixed.
jit::Module wired_classifier(const WiringDescription& rule, int64_t classes,
                             at::Generator& generator) {
  jit::Module module = script::new_module("WiredLinear");
  const std::vector<uint8_t> impossible(classes * kFeatures, 0);
  module.register_module("graph", wiring(rule, classes, kFeatures, impossible, generator));
  module.register_attribute("execution", c10::StringType::get(), std::string("auto"));
  if (rule.kind == kFixed) {  // what dead features add to the logits
    module.register_parameter("bias", at::zeros({classes}).requires_grad_(), false);
  } else {
    module.register_attribute("bias", c10::NoneType::get(), c10::IValue());
  }
  script::define(module, "linear_wired");
  return module;
}

}  // namespace

double stage_prune_rate(const StageShape& shape, double prune_rate) {
  const double in = shape.in, out = shape.out, more = shape.depth - 1, width = 1 - prune_rate;
  const double edges = (in * out + more * out * out) * width * width;
  return 1 - edges / ((in + out * more) * out * double(shape.depth));
}

jit::Module wired_stage(const StageShape& shape, const WiringDescription& rule,
                        at::Generator& generator) {
  const int64_t in = shape.in, out = shape.out, inner = (shape.depth - 1) * out;
  jit::Module module = script::new_module("WiredStage");
  module.register_module("downsample", sequential({conv2d({.in = in,
                                                           .out = in,
                                                           .kernel = 3,
                                                           .stride = shape.stride,
                                                           .groups = in,
                                                           .with_bias = false},
                                                          generator)}));
  if (inner > 0) {
    module.register_module(
        "conv",
        conv2d({.in = inner, .out = inner, .kernel = 3, .groups = inner, .with_bias = false},
               generator));
  }
  jit::Module norms = script::new_module("Norms");
  std::vector<int64_t> ends, targets;  // of what the state sends
  for (const graph::WiredBlock& block : graph::stage_blocks(in, out, shape.depth)) {
    norms.register_module(std::to_string(ends.size()), batch_norm2d(block.end - block.begin));
    ends.push_back(block.end - in);
    targets.push_back(block.target);
  }
  ends.erase(ends.begin());
  targets.erase(targets.begin());
  module.register_module("norm", norms);
  module.register_module(
      "graph",
      wiring(rule, receivers(shape), senders(shape),
             graph::impossible_edges(receivers(shape), senders(shape), in, out), generator));
  module.register_attribute("execution", c10::StringType::get(), std::string("auto"));
  module.register_attribute("stride", c10::IntType::get(), shape.stride);
  module.register_attribute("group", c10::StringType::get(), std::string());  // of processes
  add_ints(module, "ends", ends);
  add_ints(module, "targets", targets);
  script::define(module, "wired_stage", {{"norms", shape.depth}, {"inner", inner > 0 ? 1 : 0}});
  return module;
}

Model build_wired_mobilenet_v1(const WiredMobileNetV1Description& description,
                               const data::ImageSpec& spec, at::Generator& generator) {
  const int64_t classes = int64_t(spec.classes.size());
  const int64_t stride = spec.size <= kSmallImage ? 1 : 2;
  Model model{script::new_module("WiredMobileNetV1"), {}, {}};
  const auto count = [&](const std::string& name, int64_t parameters, int64_t positions) {
    model.layers.push_back({name, parameters, parameters * positions});
  };
  model.module.register_module("conv1", conv2d({.in = spec.channels,
                                                .out = kStages[0].in,
                                                .kernel = 3,
                                                .stride = stride,
                                                .with_bias = false},
                                               generator));
  int64_t side = strided(spec.size, stride);
  count("conv1", 9 * spec.channels * kStages[0].in, side * side);

  std::vector<jit::Module> stages;
  for (const StageShape& shape : kStages) {
    WiringDescription rule = description.wiring;
    rule.prune_rate = stage_prune_rate(shape, description.wiring.prune_rate);
    side = strided(side, shape.stride);
    const std::string name = "layers." + std::to_string(stages.size());
    model.wirings.push_back(wiring_of(shape, rule, name + ".graph", side));
    count(name + ".depthwise", 9 * senders(shape), side * side);
    stages.push_back(wired_stage(shape, rule, generator));
  }
  model.module.register_module("layers", sequential(stages));
  model.module.register_module("bn", batch_norm2d(kFeatures));
  model.layers.push_back({"pool", 0, kFeatures * side * side});  // which the published count has
  if (description.small) {
    model.module.register_module("linear",
                                 wired_classifier(description.wiring, classes, generator));
    model.wirings.push_back({.name = "linear.graph",
                             .rule = description.wiring,
                             .readable = at::ones({classes, kFeatures}, at::kBool),
                             .positions = 1,
                             .groups = {kFeatures},
                             .outputs = classes});
  } else {
    model.module.register_module("linear", linear(kFeatures, classes, generator));
    count("linear", kFeatures * classes, 1);
  }
  script::define(model.module, "wired_mobilenet_v1");
  return model;
}

}  // namespace rewire::models
