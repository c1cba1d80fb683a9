// ResNets for images of ImageNet's kind, a norm after every convolution, in which each convolution,
// and the classifier, chooses its weights by itself as it is reached: it is reached once a forward.
// Convolutions of single places multiply with the edges in use alone, the others are dense. Names
// of parameters and buffers are those of Wortsman, Farhadi, Rastegari's published code:
// conv1.weight, bn1.*, layer{1..4}.{i}.{conv{j}.weight,bn{j}.*,downsample.0.weight,downsample.1.*},
// fc.weight.
#include "models/resnet.h"

#include <cmath>

#include "models/layers.h"
#include "models/wiring.h"

namespace rewire::models {
namespace {

namespace jit = torch::jit;

constexpr int64_t kGroups = 4;
constexpr int64_t kWidth = 64;     // channels of the first group; each has twice as many as before
constexpr int64_t kExpansion = 4;  // channels of a bottleneck over those of its 3x3 convolution

struct ResNetShape {
  int64_t depth;
  bool bottleneck;
  int64_t blocks[kGroups];
};
constexpr ResNetShape kShapes[] = {{18, false, {2, 2, 2, 2}},
                                   {34, false, {3, 4, 6, 3}},
                                   {50, true, {3, 4, 6, 3}},
                                   {101, true, {3, 4, 23, 3}},
                                   {152, true, {3, 8, 36, 3}}};

const ResNetShape& shape_of(int64_t depth) {
  for (const ResNetShape& shape : kShapes) {
    if (shape.depth == depth) return shape;
  }
  TORCH_CHECK(false, "resnet: expected depth 18, 34, 50, 101 or 152, got ", depth);
}

// Builds layers and remembers what is known of them.
class ResNetBuilder {
 public:
  ResNetBuilder(const ResNetDescription& description, at::Generator& generator, Model& model)
      : description_(description), generator_(generator), model_(model) {}

  // Of `shape`, which has no bias, on maps whose side it leaves at `side`.
  jit::Module conv(const std::string& name, const Conv2dShape& shape, int64_t side, bool wired) {
    const at::Tensor weight = drawn(shape);
    const int64_t positions = side * side;
    if (!wired) {
      model_.layers.push_back({name, weight.numel(), weight.numel() * positions});
      return conv2d_of(shape, weight);
    }
    jit::Module module = wired_layer(name, "WiredConv2d", weight, positions);
    module.register_attribute("stride", c10::IntType::get(), shape.stride);
    module.register_attribute("padding", c10::IntType::get(), shape.kernel / 2);
    script::define(module, shape.kernel == 1 ? "wired_conv2d_pointwise" : "wired_conv2d");
    return module;
  }

  jit::Module classifier(const std::string& name, int64_t in, int64_t classes) {
    const at::Tensor weight = drawn({.in = in, .out = classes});
    jit::Module module = wired_layer(name, "WiredClassifier", weight, 1);
    script::define(module, "wired_classifier");
    return module;
  }

 private:
  // Kaiming's normal distribution for layers before a ReLU.
  at::Tensor drawn(const Conv2dShape& shape) {
    const int64_t area = shape.kernel * shape.kernel;
    const int64_t fan = (description_.init == "fan_out" ? shape.out : shape.in) * area;
    return normal_parameter({shape.out, shape.in, shape.kernel, shape.kernel},
                            std::sqrt(2.0 / double(fan)), generator_);
  }

  jit::Module wired_layer(const std::string& name, const char* type, const at::Tensor& weight,
                          int64_t positions) {
    const int64_t out = weight.size(0), columns = weight.numel() / out;
    jit::Module module = script::new_module(type);
    const std::vector<uint8_t> impossible(weight.numel(), 0);
    add_wiring(module, description_.wiring, weight, impossible, generator_);
    module.register_attribute("execution", c10::StringType::get(), std::string("auto"));
    model_.wirings.push_back({.name = name,
                              .rule = description_.wiring,
                              .readable = at::ones({1, 1}, at::kBool).expand({out, columns}),
                              .positions = positions,
                              .groups = {columns},
                              .outputs = out});
    return module;
  }

  const ResNetDescription& description_;
  at::Generator& generator_;
  Model& model_;
};

struct BlockShape {
  int64_t in, width, out;
  int64_t stride;
  int64_t side;  // of the maps it reads
};

jit::Module block(ResNetBuilder& build, const std::string& name, const BlockShape& shape,
                  bool bottleneck) {
  jit::Module module = script::new_module(bottleneck ? "Bottleneck" : "BasicBlock");
  const int64_t side = strided(shape.side, shape.stride);
  const auto add = [&](const std::string& number, const Conv2dShape& conv, int64_t left) {
    const std::string own = "conv" + number;
    module.register_module(own, build.conv(name + "." + own, conv, left, /*wired=*/true));
    module.register_module("bn" + number, batch_norm2d(conv.out));
  };
  const auto [in, width, out] = std::tuple(shape.in, shape.width, shape.out);
  if (bottleneck) {
    add("1", {.in = in, .out = width}, shape.side);
    add("2", {.in = width, .out = width, .kernel = 3, .stride = shape.stride}, side);
    add("3", {.in = width, .out = out}, side);
  } else {
    add("1", {.in = in, .out = width, .kernel = 3, .stride = shape.stride}, side);
    add("2", {.in = width, .out = out, .kernel = 3}, side);
  }
  const bool changes = shape.stride != 1 || in != out;
  if (changes) {
    module.register_module(
        "downsample", sequential({build.conv(name + ".downsample.0",
                                             {.in = in, .out = out, .stride = shape.stride}, side,
                                             /*wired=*/true),
                                  batch_norm2d(out)}));
  }
  script::define(module, bottleneck ? "resnet_bottleneck" : "resnet_basic",
                 {{"shortcuts", changes ? 1 : 0}});
  return module;
}

}  // namespace

Model build_resnet(const ResNetDescription& description, const data::ImageSpec& spec,
                   at::Generator& generator) {
  const ResNetShape& shape = shape_of(description.depth);
  Model model{script::new_module("ResNet"), {}, {}};
  ResNetBuilder build(description, generator, model);
  int64_t side = strided(spec.size, 2);
  model.module.register_module(
      "conv1",
      build.conv("conv1", {.in = spec.channels, .out = kWidth, .kernel = 7, .stride = 2}, side,
                 /*wired=*/!description.dense_first));
  model.module.register_module("bn1", batch_norm2d(kWidth));
  side = strided(side, 2);  // the pool

  int64_t in = kWidth;
  for (int64_t group = 0; group < kGroups; ++group) {
    const std::string name = "layer" + std::to_string(group + 1);
    const int64_t width = kWidth << group, out = shape.bottleneck ? kExpansion * width : width;
    std::vector<jit::Module> blocks;
    for (int64_t i = 0; i < shape.blocks[group]; ++i) {
      const int64_t stride = group > 0 && i == 0 ? 2 : 1;
      blocks.push_back(block(build, name + "." + std::to_string(i), {in, width, out, stride, side},
                             shape.bottleneck));
      side = strided(side, stride);
      in = out;
    }
    model.module.register_module(name, sequential(blocks));
  }
  model.module.register_module("fc", build.classifier("fc", in, int64_t(spec.classes.size())));
  script::define(model.module, "resnet");
  return model;
}

}  // namespace rewire::models
