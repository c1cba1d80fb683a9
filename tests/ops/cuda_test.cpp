// What is different on CUDA: NaN is no error there, and a build may lack the kernels.
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>
#include <string>

#include "ops/rewire.h"
#include "support/cuda/on_emulation.h"
#include "support/error.h"
#include "support/golden.h"

namespace {

using namespace rewire::ops;
using rewire::test::error_of;
using rewire::test::OnEmulation;
using rewire::test::same;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(OnCuda, NanIsTheLargestMagnitude) {
  const OnEmulation emulation;
  const auto weight = torch::tensor({{1.0, kNan, 2.0}, {kInfinity, 3.0, -0.5}});
  const auto nan_alone = torch::tensor({{false, true, false}, {false, false, false}});
  EXPECT_TRUE(same(strongest_mask(weight, 1), nan_alone));
  EXPECT_TRUE(
      same(keep_strongest(weight, 2), torch::tensor({{0.0, kNan, 0.0}, {kInfinity, 0.0, 0.0}})));
  EXPECT_TRUE(same(targeted_dropout(weight, 2, true, std::nullopt, 0.5),
                   torch::tensor({{0.0, kNan, 0.0}, {kInfinity, 0.0, 0.0}})));
  const Selection selection = select(weight, 1);
  EXPECT_EQ(selection.columns.item<int>(), 1);
  EXPECT_TRUE(selection.threshold.isnan().item<bool>());
  EXPECT_EQ(select(weight, 2).threshold.item<double>(), kInfinity);
  EXPECT_GT(emulation.launches(), 0);
}

TEST(OnCuda, NanStaysInABlock) {
  const OnEmulation emulation;
  at::Tensor input = torch::ones({2, 1, 2, 2});
  input[1][0][0][0] = kNan;
  const auto one = torch::ones({1});
  const auto output =
      std::get<0>(wired_blocks(input, torch::ones({1, 1}), {}, torch::ones({1, 1, 3, 3}), one, one,
                               std::nullopt, std::nullopt, {1}, {0}));
  EXPECT_GT(emulation.launches(), 0);
  EXPECT_TRUE(output[0].isfinite().all().item<bool>());
  EXPECT_TRUE(output[1].isnan().all().item<bool>());
}

// A build with CUDA has the kernels that are emulated. One without composes the op of LibTorch's
// where it can, and else says so of a CUDA tensor.
TEST(OnCuda, EveryOpHasItsKernelOrDoesWithoutOrSaysSo) {
  int kernels = 0, refusals = 0;
  for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
    const auto op = c10::Dispatcher::singleton().findOp(name).value();
    if (!name.name.starts_with("rewire::") ||
        !op.hasKernelForDispatchKey(c10::DispatchKey::PrivateUse1)) {
      continue;
    }
    ++kernels;
    // A backward that stays on the CPU would be compared with itself.
    const auto backward = c10::Dispatcher::singleton().findOp({name.name + "_backward", ""});
    EXPECT_TRUE(!backward || !backward->hasKernelForDispatchKey(c10::DispatchKey::CPU) ||
                backward->hasKernelForDispatchKey(c10::DispatchKey::PrivateUse1))
        << name.name;
    const bool has_kernel = op.hasKernelForDispatchKey(c10::DispatchKey::CUDA);
    const bool is_composed =
        op.hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd);
    EXPECT_TRUE(has_kernel || (!REWIRE_WITH_CUDA && is_composed)) << name.name;
    if (REWIRE_WITH_CUDA || !has_kernel) continue;
    ++refusals;
    torch::jit::Stack stack(op.schema().arguments().size());
    const auto call = [&] {
      op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CUDA), &stack);
    };
    EXPECT_EQ(error_of(call), name.name.substr(sizeof("rewire::") - 1) +
                                  ": expected tensors on the CPU, got CUDA: this librewire.so was "
                                  "built without CUDA kernels; build it with CUDA=on");
  }
  EXPECT_GT(kernels, 0);
  EXPECT_EQ(refusals > 0, !REWIRE_WITH_CUDA);
}

}  // namespace
