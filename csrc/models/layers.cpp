#include "models/layers.h"

#include <cmath>

#include "script/script.h"

namespace rewire::models {
namespace {

namespace jit = torch::jit;

void add_int(jit::Module& module, const std::string& name, int64_t value) {
  module.register_attribute(name, c10::IntType::get(), value);
}

void add_affine(jit::Module& module, int64_t channels) {
  module.register_parameter("weight", at::ones({channels}).requires_grad_(), false);
  module.register_parameter("bias", at::zeros({channels}).requires_grad_(), false);
}

}  // namespace

void add_ints(jit::Module& module, const std::string& name, const std::vector<int64_t>& values) {
  c10::List<int64_t> list;
  for (const int64_t value : values) list.push_back(value);
  module.register_attribute(name, c10::ListType::ofInts(), list);
}

at::Tensor uniform_parameter(at::IntArrayRef shape, double bound, at::Generator& generator) {
  return at::empty(shape).uniform_(-bound, bound, generator).requires_grad_();
}

at::Tensor normal_parameter(at::IntArrayRef shape, double deviation, at::Generator& generator) {
  return at::empty(shape).normal_(0, deviation, generator).requires_grad_();
}

jit::Module conv2d(const Conv2dShape& shape, at::Generator& generator) {
  const int64_t fan_in = shape.in / shape.groups * shape.kernel * shape.kernel;
  const double bound = 1 / std::sqrt(double(fan_in));
  const at::Tensor weight = uniform_parameter(
      {shape.out, shape.in / shape.groups, shape.kernel, shape.kernel}, bound, generator);
  const at::Tensor bias =
      shape.with_bias ? uniform_parameter({shape.out}, bound, generator) : at::Tensor();
  return conv2d_of(shape, weight, bias);
}

jit::Module conv2d_of(const Conv2dShape& shape, const at::Tensor& weight, const at::Tensor& bias) {
  jit::Module module = script::new_module("Conv2d");
  module.register_parameter("weight", weight, false);
  if (bias.defined()) {
    module.register_parameter("bias", bias, false);
  } else {
    module.register_attribute("bias", c10::NoneType::get(), c10::IValue());
  }
  add_int(module, "stride", shape.stride);
  add_int(module, "padding", shape.kernel / 2);
  add_int(module, "groups", shape.groups);
  script::define(module, "conv2d");
  return module;
}

jit::Module linear(int64_t in, int64_t out, at::Generator& generator) {
  jit::Module module = script::new_module("Linear");
  const double bound = 1 / std::sqrt(double(in));
  module.register_parameter("weight", uniform_parameter({out, in}, bound, generator), false);
  module.register_parameter("bias", uniform_parameter({out}, bound, generator), false);
  script::define(module, "linear");
  return module;
}

jit::Module batch_norm2d(int64_t channels) {
  jit::Module module = script::new_module("BatchNorm2d");
  add_affine(module, channels);
  module.register_buffer("running_mean", at::zeros({channels}));
  module.register_buffer("running_var", at::ones({channels}));
  module.register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
  module.register_attribute("group", c10::StringType::get(), std::string());  // of processes
  script::define(module, "batch_norm2d");
  return module;
}

jit::Module instance_norm2d(int64_t channels) {
  jit::Module module = script::new_module("InstanceNorm2d");
  add_affine(module, channels);
  script::define(module, "instance_norm2d");
  return module;
}

jit::Module relu() {
  jit::Module module = script::new_module("ReLU");
  script::define(module, "relu");
  return module;
}

jit::Module sequential(const std::vector<jit::Module>& children) {
  jit::Module module = script::new_module("Sequential");
  for (size_t i = 0; i < children.size(); ++i)
    module.register_module(std::to_string(i), children[i]);
  script::define(module, "sequential", {{"children", int64_t(children.size())}});
  return module;
}

}  // namespace rewire::models
