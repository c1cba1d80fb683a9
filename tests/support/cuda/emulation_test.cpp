// The emulation of CUDA itself: what it lets pass, what it refuses, and that it shows races.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/launch.cuh"
#include "support/cuda/order.h"

namespace {

using rewire::kernels::cuda::launch;
using rewire::kernels::cuda::shared;
using rewire::kernels::cuda::emulation::Order;
using rewire::kernels::cuda::emulation::set_order;
using testing::HasSubstr;

constexpr Order kOrders[] = {Order::kForward, Order::kBackward, Order::kShuffled};
constexpr uint32_t kAll = 0xffff'ffff;

template <typename Kernel, typename... Arguments>
std::string refusal(Kernel kernel, int block, size_t shared_bytes, Arguments... arguments) {
  try {
    launch(kernel, 1, block, shared_bytes, nullptr, arguments...);
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "no error";
}

struct Neighbours {
  int values[64];
};

void reverse_with_barrier(int* out) {
  auto& memory = shared<Neighbours>();
  memory.values[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = memory.values[63 - threadIdx.x];
}

void reverse_without_barrier(int* out) {
  auto& memory = shared<Neighbours>();
  memory.values[threadIdx.x] = static_cast<int>(threadIdx.x);
  out[blockIdx.x * 64 + threadIdx.x] = memory.values[63 - threadIdx.x];
}

template <typename Kernel>
std::set<std::vector<int>> results_of_all_orders(Kernel kernel) {
  std::set<std::vector<int>> results;
  for (const Order order : kOrders) {
    set_order(order, 1);
    std::vector<int> out(3 * 64);
    launch(kernel, 3, 64, sizeof(Neighbours), nullptr, out.data());
    results.insert(out);
  }
  return results;
}

TEST(Emulation, ABarrierWaitsForAll) {
  const auto results = results_of_all_orders(reverse_with_barrier);
  ASSERT_EQ(results.size(), 1u);
  const std::vector<int> out = *results.begin();
  EXPECT_EQ(out[0], 63);
  EXPECT_EQ(out[63], 0);
  EXPECT_EQ(out[2 * 64 + 1], 62);
}

TEST(Emulation, AMissingBarrierShows) {
  EXPECT_GT(results_of_all_orders(reverse_without_barrier).size(), 1u);
}

// The barrier at the end of a round is missing: a warp that is ahead writes what others still read.
void two_rounds(int* out) {
  auto& memory = shared<Neighbours>();
  int sum = 0;
  for (int round = 1; round <= 2; ++round) {
    memory.values[threadIdx.x] = round * static_cast<int>(threadIdx.x);
    __syncthreads();
    sum += memory.values[63 - threadIdx.x];
  }
  out[blockIdx.x * 64 + threadIdx.x] = sum;
}

TEST(Emulation, AMissingSecondBarrierShows) {
  EXPECT_GT(results_of_all_orders(two_rounds).size(), 1u);
}

void one_returns_early(int* out) {
  if (threadIdx.x == 5) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

TEST(Emulation, ThreadsThatReturnedAreNotWaitedFor) {
  std::vector<int> out(40);
  launch(one_returns_early, 1, 40, 0, nullptr, out.data());
  EXPECT_EQ(out[4] + out[6] + out[39], 3);
  EXPECT_EQ(out[5], 0);
}

void half_waits_for_lanes() {
  if (threadIdx.x < 8) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}

TEST(Emulation, ADeadlockIsReported) {
  const std::string message = refusal(half_waits_for_lanes, 32, 0);
  EXPECT_THAT(message, HasSubstr("block 0: deadlock: "));
  EXPECT_THAT(message, HasSubstr("24 of 32 threads wait at __syncthreads"));
  EXPECT_THAT(message, HasSubstr("8 of 32 threads wait at __syncwarp of lanes 0xffffffff"));
}

void lanes_at_different_operations() {
  if (threadIdx.x < 8) {
    __syncwarp();
  } else {
    __ballot_sync(kAll, 1);
  }
}

void lane_has_returned() {
  if (threadIdx.x != 3) __syncwarp();
}

void mask_lacks_the_lane() { __syncwarp(0xff); }

TEST(Emulation, WhatIsUndefinedOnADeviceIsRefused) {
  EXPECT_THAT(refusal(lanes_at_different_operations, 32, 0),
              HasSubstr("lanes of mask 0xffffffff are at __syncwarp and at __ballot_sync"));
  EXPECT_THAT(refusal(lane_has_returned, 32, 0),
              HasSubstr("lane 3, of mask 0xffffffff, has returned or does not exist"));
  EXPECT_THAT(refusal(mask_lacks_the_lane, 32, 0), HasSubstr("which lacks it"));
  EXPECT_THAT(refusal(mask_lacks_the_lane, 1025, 0), HasSubstr("1 blocks of 1025 threads"));
  EXPECT_THAT(refusal(mask_lacks_the_lane, 32, 300'000), HasSubstr("300000 bytes of shared"));
}

void use_lanes(uint32_t* ballots, int* shuffled) {
  const int thread = static_cast<int>(threadIdx.x);
  ballots[thread] = __ballot_sync(kAll, thread % 3 == 0);
  shuffled[thread] = __shfl_up_sync(kAll, thread, 2) + 100 * __shfl_xor_sync(kAll, thread, 1);
}

TEST(Emulation, LanesSeeEachOther) {
  for (const Order order : kOrders) {
    set_order(order);
    std::vector<uint32_t> ballots(32);
    std::vector<int> shuffled(32);
    launch(use_lanes, 1, 32, 0, nullptr, ballots.data(), shuffled.data());
    EXPECT_EQ(ballots[17], 0b01001001'00100100'10010010'01001001u);
    EXPECT_EQ(shuffled[1], 1 + 100 * 0);  // no lane two below: one's own
    EXPECT_EQ(shuffled[9], 7 + 100 * 8);
  }
}

void read_new_memory(int* out) { out[threadIdx.x] = shared<Neighbours>().values[threadIdx.x]; }

TEST(Emulation, SharedMemoryIsNotZero) {
  std::vector<int> out(1);
  launch(read_new_memory, 1, 1, sizeof(Neighbours), nullptr, out.data());
  EXPECT_NE(out[0], 0);
}

}  // namespace
