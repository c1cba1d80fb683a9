// What a neuron makes of its sum.
#pragma once

#include <cstdint>

namespace rewire::kernels {

enum class Activation : int32_t {
  kLinear,
  kRelu,
  kSelu,
  kLeakyRelu,  // slope 0.01
  kSigmoid,
  kSoftmax,  // over neighbours in a level: not of one neuron, and so not computed here
  kGeluTanh,
  kTanh,
  kSilu,
  kGelu,
  kElu,  // alpha = 1
  kSoftplus,
};
constexpr int32_t kNumActivations = 12;

}  // namespace rewire::kernels
