#include "train/device.h"

#include <ATen/Context.h>
#include <fmt/format.h>
#include <torch/cuda.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "error.h"
#include "ops/gpu.h"

namespace rewire::train {
namespace {

// The N of cuda:N, 0 of cuda; nothing for another name.
std::optional<int> gpu_number(std::string_view name) {
  constexpr std::string_view kGpu = "cuda";
  if (!name.starts_with(kGpu)) return std::nullopt;
  name.remove_prefix(kGpu.size());
  if (name.empty()) return 0;
  int number = -1;
  const auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), number);
  if (name[0] != ':' || error != std::errc() || end != name.data() + name.size() || number < 0) {
    return std::nullopt;
  }
  return number;
}

// LibTorch warns where it has no deterministic way.
void be_deterministic() {
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);  // read when cuBLAS starts
  auto& context = at::globalContext();
  context.setDeterministicCuDNN(true);
  context.setDeterministicAlgorithms(true, /*warn_only=*/true);
  context.setDeterministicFillUninitializedMemory(false);
}

}  // namespace

at::Device device_named(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  const std::optional<int> number = name == "auto" ? 0 : gpu_number(name);
  if (!number) {
    throw ConfigError("--device: expected auto, cpu, cuda or cuda:N, got '" + name + "'");
  }
  if (!ops::has_cuda_kernels()) {
    if (name == "auto") return at::kCPU;
    throw ConfigError("--device " + name +
                      ": this rewire was built without CUDA kernels; build it with CUDA=on");
  }
  const std::string problem = ops::load_gpu();
  const int gpus = problem.empty() ? int(torch::cuda::device_count()) : 0;
  if (*number >= gpus) {
    if (name == "auto") return at::kCPU;
    throw ConfigError(fmt::format(
        "--device {}: {}", name,
        gpus == 0 ? problem : fmt::format("expected a number below {}, of the GPUs here", gpus)));
  }
  be_deterministic();
  return at::Device(at::kCUDA, at::DeviceIndex(*number));
}

}  // namespace rewire::train
