// MobileNetV1 with batch norm after every convolution. Names of parameters and buffers are those of
// Wortsman, Farhadi, Rastegari's published code: conv1.weight, bn1.*, layers.{i}.{conv1,bn1,conv2,
// bn2}.*, linear.*.
#include "models/mobilenet_v1.h"

#include "models/layers.h"

namespace rewire::models {
namespace {

namespace jit = torch::jit;

constexpr int64_t kStem = 32;
struct Shape {
  int64_t out;
  int64_t stride;
};
constexpr Shape kLayers[] = {{64, 1},  {128, 2}, {128, 1}, {256, 2}, {256, 1},  {512, 2}, {512, 1},
                             {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}};

jit::Module layer(int64_t in, int64_t out, int64_t stride, at::Generator& generator) {
  jit::Module module = script::new_module("MobileNetV1Layer");
  module.register_module(
      "conv1",
      conv2d({.in = in, .out = in, .kernel = 3, .stride = stride, .groups = in, .with_bias = false},
             generator));
  module.register_module("bn1", batch_norm2d(in));
  module.register_module("conv2", conv2d({.in = in, .out = out, .with_bias = false}, generator));
  module.register_module("bn2", batch_norm2d(out));
  script::define(module, "mobilenet_v1_layer");
  return module;
}

}  // namespace

Model build_mobilenet_v1(const MobileNetV1Description& description, const data::ImageSpec& spec,
                         at::Generator& generator) {
  const auto scaled = [&](int64_t channels) {
    return int64_t(double(channels) * description.width);
  };
  const int64_t stride = spec.size <= kSmallImage ? 1 : 2, classes = int64_t(spec.classes.size());
  Model model{script::new_module("MobileNetV1"), {}, {}};
  const auto count = [&](const std::string& name, int64_t parameters, int64_t positions) {
    model.layers.push_back({name, parameters, parameters * positions});
  };
  int64_t in = scaled(kStem), side = strided(spec.size, stride);
  model.module.register_module(
      "conv1",
      conv2d({.in = spec.channels, .out = in, .kernel = 3, .stride = stride, .with_bias = false},
             generator));
  model.module.register_module("bn1", batch_norm2d(in));
  count("conv1", 9 * spec.channels * in, side * side);
  std::vector<jit::Module> layers;
  for (const Shape& shape : kLayers) {
    const int64_t out = scaled(shape.out);
    side = strided(side, shape.stride);
    const std::string name = "layers." + std::to_string(layers.size());
    count(name + ".conv1", 9 * in, side * side);
    count(name + ".conv2", in * out, side * side);
    layers.push_back(layer(in, out, shape.stride, generator));
    in = out;
  }
  count("linear", in * classes, 1);
  model.module.register_module("layers", sequential(layers));
  model.module.register_module("linear", linear(in, classes, generator));
  script::define(model.module, "mobilenet_v1");
  return model;
}

}  // namespace rewire::models
