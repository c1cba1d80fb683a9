// Sparse or dense: which is faster on this machine.
#include <ATen/Context.h>
#include <ATen/ops/arange.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>

#include "ops/product.h"

namespace rewire::ops {
namespace {

// Seconds of the fastest of a few runs: what a loaded machine adds is not the way's.
template <typename F>
double seconds_of(F&& f) {
  double fastest = std::numeric_limits<double>::infinity();
  for (int run = 0; run < 5; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    fastest = std::min(fastest, taken.count());
  }
  return fastest;
}

// Density below which a sparse product is faster than a dense one. Both take time in proportion to
// the weights that they multiply with, so that one layer, at a density near the answer, tells their
// rates.
double measure_crossover() {
  constexpr int64_t kChannels = 512, kBatch = 64, kPlaces = 64;
  constexpr double kDensity = 0.4;
  const c10::InferenceMode no_gradient;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  // Any numbers will do, but random ones: those would be missing from the caller's sequence.
  const auto numbers = [](at::IntArrayRef shape) {
    return at::arange(c10::multiply_integers(shape), at::kFloat).sin_().view(shape);
  };
  const at::Tensor weight = numbers({kChannels, kChannels});
  const at::Tensor input = numbers({kBatch, kChannels, kPlaces});
  const Selection edges = select(weight, int64_t(kDensity * kChannels * kChannels));
  const at::Tensor values = edge_values(weight, edges.row_offsets, edges.columns);
  const auto seconds = [&](Execution execution) {
    return seconds_of([&] { product(input, values, std::nullopt, edges, execution); });
  };
  return kDensity * seconds(Execution::kDense) / seconds(Execution::kSparse);
}

double crossover(at::Device device, at::ScalarType dtype) {
  if (device.is_cpu()) {
    static const double measured = measure_crossover();
    return measured;
  }
  // Of an H200: in float32 forward products are as fast at about this density; the others, where
  // dense products are bound by memory, are estimates.
  if (dtype == at::kHalf || dtype == at::kBFloat16) return 0.02;
  if (dtype == at::kFloat && at::globalContext().allowTF32CuBLAS()) return 0.035;
  return 0.15;
}

}  // namespace

void check_execution(const char* op, std::string_view execution) {
  TORCH_CHECK(execution == "auto" || execution == "sparse" || execution == "dense", op,
              ": expected execution `auto`, `sparse` or `dense`, got `", execution, "`");
}

Execution resolve_execution(std::string_view execution, double density, at::Device device,
                            at::ScalarType dtype) {
  if (execution == "dense") return Execution::kDense;
  if (execution == "sparse") return Execution::kSparse;
  return density < crossover(device, dtype) ? Execution::kSparse : Execution::kDense;
}

std::string faster_execution(double density, at::Device device) {
  const Execution faster = resolve_execution("auto", density, device, at::kFloat);
  return faster == Execution::kSparse ? "sparse" : "dense";
}

}  // namespace rewire::ops
