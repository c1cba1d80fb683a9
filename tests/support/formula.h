// Weights, inputs and labels that follow from a name, a position and a seed: what the reference
// files in tests/golden were computed from, so that only results need be stored.
#pragma once

#include <torch/script.h>

#include <cstdint>
#include <string>

namespace rewire::test {

// FNV-1a, 32 bits.
uint32_t fnv1a32(const std::string& name);

// The k-th number of a name and seed:
//   x = k * 2654435761 + fnv1a32(name) + seed * 2246822519 (mod 2^32), then mixed
uint32_t hash32(const std::string& name, uint32_t seed, uint32_t k);

// mid + half * s(k) for every element in row-major order, s uniform in (-1, 1), rounded to float32.
at::Tensor formula_tensor(const std::string& name, uint32_t seed, at::IntArrayRef shape, double mid,
                          double half);

// A parameter or buffer by the rule for its name and shape; variance: mid and half of
// `running_var`.
at::Tensor formula_parameter(const std::string& name, uint32_t seed, at::IntArrayRef shape,
                             std::pair<double, double> variance);

// Draws in (0, 1), float64, for the mask of a random layer.
at::Tensor formula_draws(const std::string& name, uint32_t seed, at::IntArrayRef shape);

// Labels in [0, classes).
at::Tensor formula_labels(const std::string& name, uint32_t seed, int64_t count, int64_t classes);

}  // namespace rewire::test
