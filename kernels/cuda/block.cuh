// What the threads of a warp and of a block do together. Blocks are one-dimensional and made of
// whole warps.
#pragma once

#include "kernels/cuda/launch.cuh"

namespace rewire::kernels::cuda {

constexpr int kWarp = 32;
constexpr uint32_t kAllLanes = 0xffff'ffff;

__device__ inline int lane() { return threadIdx.x % kWarp; }
__device__ inline int warp() { return threadIdx.x / kWarp; }
__device__ inline int warps() { return blockDim.x / kWarp; }  // of the block

// How many blocks of so many take `count`.
constexpr int64_t blocks_of(int64_t count, int64_t block) { return (count + block - 1) / block; }

// The lanes below one's own, as a mask.
__device__ inline uint32_t lanes_below() { return (1u << lane()) - 1; }

// The sum of the `value`s of all lanes, the same on each.
template <typename T>
__device__ T warp_sum(T value) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, step);
  }
  return value;
}

// The sum of the `value`s of the lanes below one's own.
template <typename T>
__device__ T warp_sum_below(T value) {
  T sum = value;
  for (int step = 1; step < kWarp; step *= 2) {
    const T other = __shfl_up_sync(kAllLanes, sum, step);
    if (lane() >= step) sum += other;
  }
  return sum - value;
}

constexpr int kTogether = 8;  // edges whose sums over the lanes are taken at once

// From each lane's summands, one an edge, to the sum over all lanes of edge lane() / 4: lanes that
// differ in a bit exchange those halves of their summands that the other's edge is in.
template <typename T>
__device__ T sum_of_edge(T (&summands)[kTogether]) {
  int half = kTogether / 2;
#pragma unroll
  for (int step = kWarp / 2; step > 2; step /= 2) {
    const bool upper = (lane() & step) != 0;
#pragma unroll
    for (int j = 0; j < kTogether / 2; ++j) {
      if (j >= half) continue;
      const T kept = upper ? summands[j + half] : summands[j];
      const T sent = upper ? summands[j] : summands[j + half];
      summands[j] = kept + __shfl_xor_sync(kAllLanes, sent, step);
    }
    half /= 2;
  }
  const T sum = summands[0] + __shfl_xor_sync(kAllLanes, summands[0], 2);
  return sum + __shfl_xor_sync(kAllLanes, sum, 1);
}

// Shared memory of block_sum_below.
template <typename T, int kThreads>
struct BlockSum {
  static_assert(kThreads % kWarp == 0 && kThreads <= kWarp * kWarp);
  T of_warp[kThreads / kWarp];
};

template <typename T>
struct SumBelow {
  T below;  // the sum of the values of the threads below one's own
  T total;  // of all threads
};

// All threads of the block call it. A barrier stands between two calls with the same memory.
template <typename T, int kThreads>
__device__ SumBelow<T> block_sum_below(T value, BlockSum<T, kThreads>& memory) {
  const T in_warp = warp_sum_below(value);
  if (lane() == kWarp - 1) memory.of_warp[warp()] = in_warp + value;
  __syncthreads();
  SumBelow<T> sum{in_warp, 0};
  for (int i = 0; i < kThreads / kWarp; ++i) {
    if (i < warp()) sum.below += memory.of_warp[i];
    sum.total += memory.of_warp[i];
  }
  return sum;
}

}  // namespace rewire::kernels::cuda
