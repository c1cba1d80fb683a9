// ShuffleNetV2. Names of parameters and buffers are those of torchvision's shufflenet_v2_x*:
// conv1.{0,1}, stage{2,3,4}.{i}.branch{1,2}.{j}, conv5.{0,1}, fc.
#include "models/shufflenet_v2.h"

#include <stdexcept>

#include "models/layers.h"

namespace rewire::models {
namespace {

namespace jit = torch::jit;

// Channels of the three stages and of the last convolution, by width. Published as a table, for
// they are not the width times anything.
struct Channels {
  double width;
  int64_t stages[3];
  int64_t last;
};
constexpr Channels kChannels[] = {{0.5, {48, 96, 192}, 1024},
                                  {1.0, {116, 232, 464}, 1024},
                                  {1.5, {176, 352, 704}, 1024},
                                  {2.0, {244, 488, 976}, 2048}};
constexpr int64_t kFirst = 24;
constexpr int64_t kRepeats[] = {4, 8, 4};

// Adds layers to a network while counting what they cost.
class ShuffleNetBuilder {
 public:
  ShuffleNetBuilder(Model& model, int64_t side, at::Generator& generator)
      : model_(model), side_(side), generator_(generator) {}

  int64_t side() const { return side_; }
  void halve() { side_ = strided(side_, 2); }

  // Appends a convolution and its norm to the children of `name`; `side` is of what it writes.
  void convolution(const std::string& name, Conv2dShape shape, std::vector<jit::Module>& children,
                   int64_t side) {
    shape.with_bias = false;
    const int64_t weights = shape.out * shape.in / shape.groups * shape.kernel * shape.kernel;
    model_.layers.push_back(
        {name + "." + std::to_string(children.size()), weights, weights * side * side});
    children.push_back(conv2d(shape, generator_));
    children.push_back(batch_norm2d(shape.out));
  }

  jit::Module unit(const std::string& name, int64_t in, int64_t out, int64_t stride);

 private:
  Model& model_;
  int64_t side_;
  at::Generator& generator_;
};

// Half of the channels pass by, the others through 1x1, depthwise 3x3 and 1x1; one that strides has
// a depthwise 3x3 and a 1x1 in the place of the passage, and both read all channels.
jit::Module ShuffleNetBuilder::unit(const std::string& name, int64_t in, int64_t out,
                                    int64_t stride) {
  const int64_t half = out / 2, before = side_;
  if (stride == 2) halve();
  jit::Module module = script::new_module("ShuffleNetV2Unit");
  const auto depthwise = [&](int64_t channels) {
    return Conv2dShape{
        .in = channels, .out = channels, .kernel = 3, .stride = stride, .groups = channels};
  };
  if (stride == 2) {
    std::vector<jit::Module> branch;
    convolution(name + ".branch1", depthwise(in), branch, side_);
    convolution(name + ".branch1", {.in = in, .out = half}, branch, side_);
    branch.push_back(relu());
    module.register_module("branch1", sequential(branch));
  }
  std::vector<jit::Module> branch;
  convolution(name + ".branch2", {.in = stride == 2 ? in : half, .out = half}, branch, before);
  branch.push_back(relu());
  convolution(name + ".branch2", depthwise(half), branch, side_);
  convolution(name + ".branch2", {.in = half, .out = half}, branch, side_);
  branch.push_back(relu());
  module.register_module("branch2", sequential(branch));
  script::define(module, "shufflenet_v2_unit", {{"strided", stride == 2 ? 1 : 0}});
  return module;
}

const Channels& channels_of(double width) {
  for (const Channels& channels : kChannels) {
    if (channels.width == width) return channels;
  }
  throw std::invalid_argument("model.width: no ShuffleNetV2 of that width");
}

}  // namespace

Model build_shufflenet_v2(const ShuffleNetV2Description& description, const data::ImageSpec& spec,
                          at::Generator& generator) {
  const Channels& channels = channels_of(description.width);
  const auto classes = int64_t(spec.classes.size());
  Model model{script::new_module("ShuffleNetV2"), {}, {}};
  ShuffleNetBuilder builder(model, strided(spec.size, 2), generator);
  const auto block = [&](const std::string& name, const Conv2dShape& shape) {
    std::vector<jit::Module> children;
    builder.convolution(name, shape, children, builder.side());
    children.push_back(relu());
    model.module.register_module(name, sequential(children));
  };
  block("conv1", {.in = spec.channels, .out = kFirst, .kernel = 3, .stride = 2});
  builder.halve();  // by the pool
  int64_t in = kFirst;
  for (size_t stage = 0; stage < std::size(kRepeats); ++stage) {
    const std::string name = "stage" + std::to_string(stage + 2);
    std::vector<jit::Module> units;
    for (int64_t i = 0; i < kRepeats[stage]; ++i) {
      const int64_t out = channels.stages[stage];
      units.push_back(builder.unit(name + "." + std::to_string(i), in, out, i == 0 ? 2 : 1));
      in = out;
    }
    model.module.register_module(name, sequential(units));
  }
  block("conv5", {.in = in, .out = channels.last});
  model.layers.push_back({"fc", channels.last * classes, channels.last * classes});
  model.module.register_module("fc", linear(channels.last, classes, generator));
  script::define(model.module, "shufflenet_v2");
  return model;
}

}  // namespace rewire::models
