// The selection that all ops share, on a device: two steps, neither of which the host waits for.
//
//   find_cut        one pass over the weight a digit of its keys: the smallest key kept, and how
//                   many of the entries with just that key
//   mark_strongest  one pass: says of each entry whether it is kept and, where asked for, how many
//                   are kept before it
//
// All sums are of integers, so that no order of threads or blocks shows in a result.
#pragma once

#include "kernels/cuda/digits.cuh"
#include "kernels/cuda/look_back.cuh"
#include "kernels/cuda/stream.h"

namespace rewire::kernels::cuda {

constexpr int kItems = 16;  // entries a thread of mark_strongest
constexpr int kTile = kRankThreads * kItems;
constexpr int64_t kMostBlocks = 1024;  // of find_cut: eight for each multiprocessor of a large GPU

constexpr int64_t tiles_of(int64_t count) { return blocks_of(count, kTile); }

// Device memory of a selection; zero before it starts.
template <typename Key>
struct Selecting {
  Cut<Key> cut;
  unsigned tile_ticket;
  unsigned blocks_done;
  unsigned long long counts[kNumDigits];
};

// A block counts in shared memory, in copies that its warps share: weights have few different high
// digits, and threads that raise one counter wait for each other.
struct CountDigits {
  static constexpr int kCopies = 4;
  uint32_t counts[kCopies][kNumDigits];
  ChooseDigit<unsigned long long> choose;
  bool last;
};
static_assert(sizeof(CountDigits) <= 48 << 10);

// The block that ends last chooses the digit, and leaves the counters at zero for the next pass.
template <typename Bits>
__global__ void __launch_bounds__(kRankThreads)
    count_digits(Magnitudes<Bits> weight, Digit digit, Cut<KeyOf<Bits>> initial, bool first,
                 Selecting<KeyOf<Bits>>* selecting) {
  auto& memory = shared<CountDigits>();
  const Cut<KeyOf<Bits>> cut = first ? initial : selecting->cut;
  for (int i = threadIdx.x; i < CountDigits::kCopies * kNumDigits; i += kRankThreads) {
    memory.counts[i / kNumDigits][i % kNumDigits] = 0;
  }
  __syncthreads();

  uint32_t* counts = memory.counts[warp() % CountDigits::kCopies];
  const int64_t step = static_cast<int64_t>(gridDim.x) * kTile;
  for (int64_t tile = static_cast<int64_t>(blockIdx.x) * kTile; tile < weight.count; tile += step) {
    // All are asked for before the first is looked at.
    KeyOf<Bits> keys[kItems];
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int64_t entry = tile + i * kRankThreads + threadIdx.x;
      keys[i] = entry < weight.count ? weight.key(entry) : 0;
    }
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      if (tile + i * kRankThreads + threadIdx.x >= weight.count) break;
      if (digit.same_above(keys[i], cut.key)) atomicAdd(&counts[digit.of(keys[i])], 1u);
    }
  }
  __syncthreads();

  for (int i = threadIdx.x; i < kNumDigits; i += kRankThreads) {
    unsigned long long count = 0;
    for (int copy = 0; copy < CountDigits::kCopies; ++copy) count += memory.counts[copy][i];
    if (count > 0) atomicAdd(&selecting->counts[i], count);
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) memory.last = atomicAdd(&selecting->blocks_done, 1u) == gridDim.x - 1;
  __syncthreads();
  if (!memory.last) return;

  __threadfence();
  const auto chosen = choose_digit(cut, digit, selecting->counts, memory.choose);
  for (int i = threadIdx.x; i < kNumDigits; i += kRankThreads) selecting->counts[i] = 0;
  if (threadIdx.x == 0) {
    selecting->cut = chosen;
    selecting->blocks_done = 0;
  }
}

// Leaves in selecting->cut the cut of the `keep` strongest, 0 < keep <= weight.count.
template <typename Bits>
void find_cut(const Magnitudes<Bits>& weight, int64_t keep, Selecting<KeyOf<Bits>>* selecting,
              cudaStream_t stream) {
  const int64_t needed = tiles_of(weight.count);
  const int64_t grid = needed < kMostBlocks ? needed : kMostBlocks;
  constexpr Digit highest = highest_digit<Bits>();
  for (Digit digit = highest; digit.bits > 0; digit = digit.below()) {
    launch(count_digits<Bits>, grid, kRankThreads, sizeof(CountDigits), stream, weight, digit,
           Cut<KeyOf<Bits>>{0, keep}, digit.shift == highest.shift, selecting);
  }
}

// How many entries with the cut's key lie before: all that a mask has to know.
struct Ties {
  int64_t equal;

  __device__ static Ties of(int /*above*/, int equal) { return {equal}; }
  __device__ unsigned long long pack() const { return equal; }
  __device__ static Ties unpack(unsigned long long bits) { return {static_cast<int64_t>(bits)}; }
  __device__ Ties& operator+=(Ties other) {
    equal += other.equal;
    return *this;
  }
};

// How many entries lie before with keys above the cut's, and with just that key; the second only
// as long as it is below 2^31 - 1, which is as many as may be kept where places are asked for.
struct Places {
  static constexpr int64_t kMost = 0x7fff'ffff;
  int64_t above;
  int64_t equal;

  __device__ static Places of(int above, int equal) { return {above, equal}; }
  __device__ unsigned long long pack() const {
    return static_cast<unsigned long long>(above) << 31 | static_cast<unsigned long long>(equal);
  }
  __device__ static Places unpack(unsigned long long bits) {
    return {static_cast<int64_t>(bits >> 31), static_cast<int64_t>(bits & kMost)};
  }
  __device__ Places& operator+=(Places other) {
    above += other.above;
    equal = equal + other.equal < kMost ? equal + other.equal : kMost;
    return *this;
  }
  // The place of the next entry among those kept.
  __device__ int64_t next(int64_t ties) const { return above + (equal < ties ? equal : ties); }
};

// A division of 64-bit numbers takes a device dozens of instructions, of 32-bit ones a few.
__device__ inline int64_t quotient(int64_t a, int64_t b) {
  return (a | b) <= UINT32_MAX
             ? static_cast<int64_t>(static_cast<uint32_t>(a) / static_cast<uint32_t>(b))
             : a / b;
}

template <typename Before>
struct MarkStrongest {
  unsigned tile;
  Before of_warp[kRankThreads / kWarp];
  Before before_tile;
};

// Calls emit(entry, kept, before, cut) for each entry of the weight, a lane an entry: `kept` says
// which lanes' entries are kept, and `before` is the Before, Ties or Places, of the entries below
// the warp's first, whose index is a multiple of 32. A block has one tile, a warp 32 * kItems
// consecutive entries of it.
template <typename Before, typename Bits, typename Emit>
__global__ void __launch_bounds__(kRankThreads)
    mark_strongest(Magnitudes<Bits> weight, Selecting<KeyOf<Bits>>* selecting,
                   unsigned long long* tile_states, Emit emit) {
  auto& memory = shared<MarkStrongest<Before>>();
  const Tiles tiles{tile_states, &selecting->tile_ticket};
  const int64_t tile = take_tile(tiles, memory.tile);
  const auto cut = selecting->cut;
  const int64_t begin = tile * kTile + warp() * kItems * kWarp + lane();

  KeyOf<Bits> keys[kItems];  // all are asked for before the first is looked at
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int64_t entry = begin + i * kWarp;
    keys[i] = entry < weight.count ? weight.key(entry) : 0;
  }
  uint32_t above[kItems];  // which lanes' entries
  uint32_t equal[kItems];
  int num_above = 0;
  int num_equal = 0;
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const bool is_entry = begin + i * kWarp < weight.count;
    above[i] = __ballot_sync(kAllLanes, is_entry && keys[i] > cut.key);
    equal[i] = __ballot_sync(kAllLanes, is_entry && keys[i] == cut.key);
    num_above += __popc(above[i]);
    num_equal += __popc(equal[i]);
  }
  if (lane() == 0) memory.of_warp[warp()] = Before::of(num_above, num_equal);
  __syncthreads();

  if (warp() == 0) {
    Before sum = Before::unpack(0);
    for (const Before& of_warp : memory.of_warp) sum += of_warp;
    const Before before = sum_of_tiles_before(tiles, tile, sum);
    if (lane() == 0) memory.before_tile = before;
  }
  __syncthreads();

  Before before = memory.before_tile;
  for (int i = 0; i < warp(); ++i) before += memory.of_warp[i];
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    uint32_t kept = above[i];
    if (equal[i] != 0) {
      const bool is_tie = equal[i] >> lane() & 1;
      const int64_t ties_before = before.equal + __popc(equal[i] & lanes_below());
      kept |= __ballot_sync(kAllLanes, is_tie && ties_before < cut.rank);
    }
    const int64_t entry = begin + i * kWarp;
    if (entry < weight.count) emit(entry, kept, before, cut);
    before += Before::of(__popc(above[i]), __popc(equal[i]));
  }
}

// Both steps: finds the `keep` strongest of a weight, 0 < keep <= weight.count, and emits.
template <typename Before, typename Bits, typename Emit>
void for_each_marked(const Magnitudes<Bits>& weight, int64_t keep, const Emit& emit,
                     const Stream& stream) {
  const size_t states = tiles_of(weight.count) * sizeof(unsigned long long);
  auto* const selecting =
      static_cast<Selecting<KeyOf<Bits>>*>(stream.scratch(sizeof(Selecting<KeyOf<Bits>>) + states));
  zero(selecting, sizeof(*selecting) + states, stream.handle);
  find_cut(weight, keep, selecting, stream.handle);
  launch(mark_strongest<Before, Bits, Emit>, tiles_of(weight.count), kRankThreads,
         sizeof(MarkStrongest<Before>), stream.handle, weight, selecting,
         reinterpret_cast<unsigned long long*>(selecting + 1), emit);
}

}  // namespace rewire::kernels::cuda
