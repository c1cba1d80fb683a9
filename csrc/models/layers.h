// The common layers as modules with PyTorch's names and initialisation.
#pragma once

#include <torch/script.h>

#include <string>
#include <vector>

namespace rewire::models {

// Convolution k x k: `weight` [out, in / groups, k, k] and, where `with_bias`, `bias` [out].
struct Conv2dShape {
  int64_t in = 0;
  int64_t out = 0;
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t groups = 1;
  bool with_bias = true;
};

// Weights and biases U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)), as torch.nn initialises them. Padding
// keeps the size at stride 1. Draws from `generator`, weight first.
torch::jit::Module conv2d(const Conv2dShape& shape, at::Generator& generator);
// The same around parameters that were drawn already; bias undefined: without.
torch::jit::Module conv2d_of(const Conv2dShape& shape, const at::Tensor& weight,
                             const at::Tensor& bias = {});
torch::jit::Module linear(int64_t in, int64_t out, at::Generator& generator);
// Weight 1, bias 0, running mean 0 and variance 1.
torch::jit::Module batch_norm2d(int64_t channels);
torch::jit::Module instance_norm2d(int64_t channels);
torch::jit::Module relu();
// Children named 0, 1, ...
torch::jit::Module sequential(const std::vector<torch::jit::Module>& children);

// An attribute that is a list of integers.
void add_ints(torch::jit::Module& module, const std::string& name,
              const std::vector<int64_t>& values);

// A tensor of `shape` drawn from U(-bound, bound), or from a normal distribution around 0, as a
// parameter.
at::Tensor uniform_parameter(at::IntArrayRef shape, double bound, at::Generator& generator);
at::Tensor normal_parameter(at::IntArrayRef shape, double deviation, at::Generator& generator);

// The side of a map behind a layer that strides over one and pads it to keep its size else.
inline int64_t strided(int64_t side, int64_t stride) { return (side + stride - 1) / stride; }

}  // namespace rewire::models
