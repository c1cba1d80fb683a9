// What the kernels use of CUDA, on the host: so that their very sources run, and are tested, on a
// machine without a GPU.
//
// The threads of a block are fibers on one thread of the host, each running until it waits for
// others: at __syncthreads(), or at an operation of a warp that names lanes by a mask. A barrier of
// the block counts the threads that have not returned, as the hardware does; one of a warp needs
// every lane of its mask. Where all that are left wait and nothing can go on, the launch throws
// std::logic_error and says who waits where; so it does for what is undefined on a device: lanes of
// one mask at different operations, a mask without the lane itself, a lane that has returned.
//
// Blocks run one after another, and a warp as far as it can before another warp has its turn. In
// what order blocks, warps and lanes take turns is for the test to say (order.h): a kernel whose
// result depends on it has a race. Atomics on floating numbers do not
// exist here. Shared memory is filled with a pattern before each block: nothing in it may be taken
// for zero.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <tuple>

#define __global__
#define __device__
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
};

// Of the fiber that runs.
extern thread_local dim3 threadIdx;
extern thread_local dim3 blockIdx;
extern thread_local dim3 blockDim;
extern thread_local dim3 gridDim;

struct CUstream_st;
using cudaStream_t = CUstream_st*;

namespace rewire::kernels::cuda::emulation {

void launch_threads(const std::function<void()>& thread, int64_t grid, int block,
                    size_t shared_bytes);
void* shared_memory(size_t bytes);

// Waits for the lanes of `mask`, all of them at `operation`, and gives the value of each lane.
using LaneValues = uint64_t[32];
const LaneValues& exchange(const char* operation, uint32_t mask, uint64_t value);

template <typename T>
T& shared() {
  return *static_cast<T*>(shared_memory(sizeof(T)));
}

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), int64_t grid, int block, size_t shared_bytes,
            cudaStream_t /*stream*/, Arguments... arguments) {
  const std::tuple<Parameters...> values(static_cast<Parameters>(arguments)...);
  launch_threads([&] { std::apply(kernel, values); }, grid, block, shared_bytes);
}

// Blocks run one after another: one that waits for another would never end.
constexpr int64_t multiprocessors() { return 1; }

template <typename... Parameters, typename... Arguments>
void launch_together(void (*kernel)(Parameters...), int64_t grid, int block, size_t shared_bytes,
                     cudaStream_t stream, Arguments... arguments) {
  if (grid != 1) throw std::invalid_argument("emulation: blocks that wait for one another");
  launch(kernel, grid, block, shared_bytes, stream, arguments...);
}

inline void zero(void* memory, size_t bytes, cudaStream_t /*stream*/) {
  std::memset(memory, 0, bytes);
}

template <typename T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace rewire::kernels::cuda::emulation

void __syncthreads();

inline void __syncwarp(uint32_t mask = 0xffff'ffff) {
  rewire::kernels::cuda::emulation::exchange("__syncwarp", mask, 0);
}

inline void __threadfence() {}

template <typename T>
T __shfl_sync(uint32_t mask, T value, int lane) {
  namespace emulation = rewire::kernels::cuda::emulation;
  const auto& values = emulation::exchange("__shfl_sync", mask, emulation::to_bits(value));
  return emulation::from_bits<T>(values[lane % 32]);
}

template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int lanes) {
  namespace emulation = rewire::kernels::cuda::emulation;
  const auto& values = emulation::exchange("__shfl_xor_sync", mask, emulation::to_bits(value));
  return emulation::from_bits<T>(values[(threadIdx.x % 32) ^ lanes]);
}

template <typename T>
T __shfl_up_sync(uint32_t mask, T value, unsigned lanes) {
  namespace emulation = rewire::kernels::cuda::emulation;
  const auto& values = emulation::exchange("__shfl_up_sync", mask, emulation::to_bits(value));
  const unsigned lane = threadIdx.x % 32;
  return lane < lanes ? value : emulation::from_bits<T>(values[lane - lanes]);
}

inline uint32_t __ballot_sync(uint32_t mask, int predicate) {
  const auto& values =
      rewire::kernels::cuda::emulation::exchange("__ballot_sync", mask, predicate != 0);
  uint32_t ballot = 0;
  for (int lane = 0; lane < 32; ++lane) ballot |= (mask >> lane & values[lane]) << lane;
  return ballot;
}

inline int __popc(uint32_t bits) { return std::popcount(bits); }
inline int __ffs(int bits) {
  return bits == 0 ? 0 : std::countr_zero(static_cast<uint32_t>(bits)) + 1;
}

// A fiber is not interrupted: reading and writing is one step.
template <typename T>
T atomicAdd(T* address, T value) {
  static_assert(std::is_integral_v<T>, "the order of a sum of floating numbers must be fixed");
  const T before = *address;
  *address += value;
  return before;
}

using std::max;
using std::min;
