// Selection of 5 % of a weight's entries with both structures, cold and with a hint, against
// sorting magnitudes as published code does and against torch.topk, which give no structure.
//
//   select_bench --benchmark_repetitions=10 --benchmark_enable_random_interleaving=true
//
// Sizes: 640,000 (800 x 800, the small classifiers) and 8,650,752 (2112 x 4096).
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <tuple>

#include "ops/rewire.h"

namespace {

using at::Tensor;

Tensor make_weight(const benchmark::State& state) {
  torch::manual_seed(1);
  const double bound = 1 / std::sqrt(static_cast<double>(state.range(1)));
  return torch::empty({state.range(0), state.range(1)}).uniform_(-bound, bound);
}

int64_t kept(const Tensor& weight) { return weight.numel() / 20; }

// A time counts only if the result is right.
void check_threshold(const Tensor& weight, const Tensor& threshold) {
  const Tensor sorted = std::get<0>(weight.abs().flatten().sort(0, /*descending=*/true));
  if (!sorted[kept(weight) - 1].equal(threshold)) {
    throw std::runtime_error("select disagrees with sort");
  }
}

void select_cold(benchmark::State& state) {
  const Tensor weight = make_weight(state);
  check_threshold(weight, rewire::ops::select(weight, kept(weight)).threshold);
  for (auto _ : state) {
    benchmark::DoNotOptimize(rewire::ops::select(weight, kept(weight)));
  }
}

// The weight has moved by a training step since its hint.
void select_warm(benchmark::State& state) {
  const Tensor before = make_weight(state);
  const Tensor hint = rewire::ops::select(before, kept(before)).threshold;
  const Tensor weight = before + 1e-3 * before.std() * torch::randn_like(before);
  check_threshold(weight, rewire::ops::select(weight, kept(weight), hint).threshold);
  for (auto _ : state) {
    benchmark::DoNotOptimize(rewire::ops::select(weight, kept(weight), hint));
  }
}

void sort(benchmark::State& state) {
  const Tensor weight = make_weight(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(weight.abs().flatten().sort());
  }
}

void topk(benchmark::State& state) {
  const Tensor weight = make_weight(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(weight.abs().flatten().topk(kept(weight)));
  }
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Args({800, 800})->Args({2112, 4096})->Unit(benchmark::kMillisecond)->UseRealTime();
}

BENCHMARK(select_cold)->Apply(sizes);
BENCHMARK(select_warm)->Apply(sizes);
BENCHMARK(sort)->Apply(sizes);
BENCHMARK(topk)->Apply(sizes);

}  // namespace

int main(int argc, char** argv) {
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
