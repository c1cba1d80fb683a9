#include "support/formula.h"

#include <cmath>

namespace rewire::test {
namespace {

bool ends_with(const std::string& name, const char* ending) { return name.ends_with(ending); }

}  // namespace

uint32_t fnv1a32(const std::string& name) {
  uint32_t hash = 2166136261u;
  for (const unsigned char byte : name) hash = (hash ^ byte) * 16777619u;
  return hash;
}

uint32_t hash32(const std::string& name, uint32_t seed, uint32_t k) {
  uint32_t x = k * 2654435761u + fnv1a32(name) + seed * 2246822519u;
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ x >> 16;
}

at::Tensor formula_tensor(const std::string& name, uint32_t seed, at::IntArrayRef shape, double mid,
                          double half) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* out = tensor.mutable_data_ptr<float>();
  for (int64_t k = 0; k < tensor.numel(); ++k) {
    const double s = (2.0 * hash32(name, seed, uint32_t(k)) + 1 - 4294967296.0) / 4294967296.0;
    out[k] = float(mid + half * s);
  }
  return tensor;
}

at::Tensor formula_parameter(const std::string& name, uint32_t seed, at::IntArrayRef shape,
                             std::pair<double, double> variance) {
  if (ends_with(name, "num_batches_tracked")) return at::zeros(shape, at::kLong);
  if (ends_with(name, "zeros")) return at::zeros(shape);
  if (ends_with(name, "running_mean")) return formula_tensor(name, seed, shape, 0, 0.125);
  if (ends_with(name, "running_var")) {
    return formula_tensor(name, seed, shape, variance.first, variance.second);
  }
  if (shape.size() > 1) {
    double fan_in = 1;
    for (size_t i = 1; i < shape.size(); ++i) fan_in *= double(shape[i]);
    return formula_tensor(name, seed, shape, 0, 1 / std::sqrt(fan_in));
  }
  if (ends_with(name, ".bias")) return formula_tensor(name, seed, shape, 0, 0.125);
  return formula_tensor(name, seed, shape, 1, 0.5);
}

at::Tensor formula_draws(const std::string& name, uint32_t seed, at::IntArrayRef shape) {
  at::Tensor tensor = at::empty(shape, at::kDouble);
  double* out = tensor.mutable_data_ptr<double>();
  for (int64_t k = 0; k < tensor.numel(); ++k) {
    out[k] = (2.0 * hash32(name, seed, uint32_t(k)) + 1) / 8589934592.0;
  }
  return tensor;
}

at::Tensor formula_labels(const std::string& name, uint32_t seed, int64_t count, int64_t classes) {
  at::Tensor labels = at::empty({count}, at::kLong);
  for (int64_t k = 0; k < count; ++k) {
    labels[k] = int64_t(hash32(name, seed, uint32_t(k)) % uint32_t(classes));
  }
  return labels;
}

}  // namespace rewire::test
