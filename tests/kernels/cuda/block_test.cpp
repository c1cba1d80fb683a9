// What warps and blocks do together.
#include "kernels/cuda/block.cuh"

#include <gtest/gtest.h>

#include <vector>

#include "support/cuda/order.h"

namespace {

using namespace rewire::kernels::cuda;
using emulation::Order;

constexpr Order kOrders[] = {Order::kForward, Order::kBackward, Order::kShuffled};
constexpr int kThreads = 96;

void sums(int64_t* out) {
  const int64_t value = 3 * threadIdx.x + 1;
  const auto sum = block_sum_below(value, shared<BlockSum<int64_t, kThreads>>());
  out[threadIdx.x] = sum.below;
  out[kThreads + threadIdx.x] = sum.total;
}

TEST(Block, SumsBelowAndInAll) {
  for (const Order order : kOrders) {
    emulation::set_order(order);
    std::vector<int64_t> out(2 * kThreads);
    launch(sums, 1, kThreads, sizeof(BlockSum<int64_t, kThreads>), nullptr, out.data());
    int64_t below = 0;
    for (int i = 0; i < kThreads; ++i) {
      EXPECT_EQ(out[i], below);
      EXPECT_EQ(out[kThreads + i], 3 * kThreads * (kThreads - 1) / 2 + kThreads);
      below += 3 * i + 1;
    }
  }
}

}  // namespace
