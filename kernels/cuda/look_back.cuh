// A sum over all blocks before one's own, in the same pass that makes it: decoupled look-back.
//
// Blocks take tickets, and so ascending tiles, in the order in which they start. Each publishes the
// sum of its tile, then looks back over its predecessors, all of which have started and wait for
// nobody behind them, until it finds one that knows the sum of all tiles up to itself.
// Source: Merrill, Garland 2016, Single-pass Parallel Prefix Scan with Decoupled Look-back.
#pragma once

#include "kernels/cuda/block.cuh"

namespace rewire::kernels::cuda {

// Device memory of a look-back over num_tiles tiles; zero before the kernel starts.
struct Tiles {
  unsigned long long* states;  // [num_tiles] two bits what is known, 62 bits a sum
  unsigned* ticket;            // [1]
};

namespace look_back_detail {
constexpr int kSumBits = 62;
constexpr unsigned long long kSumMask = (1ull << kSumBits) - 1;
constexpr unsigned long long kTileKnown = 1ull << kSumBits;  // the sum is the tile's own
constexpr unsigned long long kAllKnown = 2ull << kSumBits;   // the sum is of all tiles up to it
}  // namespace look_back_detail

// The tile of this block. All threads of the block call it; `shared_tile` is shared memory.
__device__ inline int64_t take_tile(const Tiles& tiles, unsigned& shared_tile) {
  if (threadIdx.x == 0) shared_tile = atomicAdd(tiles.ticket, 1u);
  __syncthreads();
  return shared_tile;
}

// The sum of all tiles before `tile`, whose own sum is `sum`. One whole warp of the block calls it.
// Sum: what pack() puts into 62 bits, with a += that is associative and commutative.
template <typename Sum>
__device__ Sum sum_of_tiles_before(const Tiles& tiles, int64_t tile, Sum sum) {
  using namespace look_back_detail;
  volatile unsigned long long* states = tiles.states;
  if (lane() == 0) states[tile] = (tile == 0 ? kAllKnown : kTileKnown) | sum.pack();

  Sum before = Sum::unpack(0);
  for (int64_t last = tile - 1; last >= 0; last -= kWarp) {
    // Lane i looks at tile last - i; those before the first know the sum of nothing.
    const int64_t other = last - lane();
    unsigned long long state = kAllKnown;
    if (other >= 0) {
      do {
        state = states[other];
      } while (state >> kSumBits == 0);
    }
    const uint32_t ends = __ballot_sync(kAllLanes, state >> kSumBits == 2);
    const int nearest_end = ends == 0 ? kWarp : __ffs(static_cast<int>(ends)) - 1;
    Sum window = Sum::unpack(lane() <= nearest_end ? state & kSumMask : 0);
    for (int step = kWarp / 2; step > 0; step /= 2) {
      window += Sum::unpack(__shfl_xor_sync(kAllLanes, window.pack(), step));
    }
    before += window;
    if (ends != 0) break;
  }
  if (lane() == 0 && tile > 0) {
    Sum up_to = before;
    up_to += sum;
    states[tile] = kAllKnown | up_to.pack();
  }
  return before;
}

}  // namespace rewire::kernels::cuda
