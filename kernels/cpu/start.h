#pragma once

namespace rewire::kernels {

// What a product's row of a target holds before the product is added.
enum class Start {
  kZero,
  kBias,   // bias[target] in every column
  kTarget  // what is there
};

}  // namespace rewire::kernels
