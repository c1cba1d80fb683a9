// A block has a row at a time: it finds the row's cut in shared memory, then passes over the row
// once more, in order, to share out the places that are left for entries equal to the cut.
#include "kernels/cuda/targeted_dropout.h"

#include "kernels/cuda/digits.cuh"

namespace rewire::kernels::cuda {
namespace {

struct MarkRow {
  uint32_t counts[kNumDigits];
  ChooseDigit<uint32_t> choose;
  BlockSum<int, kRankThreads> sum;
};

// Bits of the row's key are found digit by digit. All threads of the block get the same cut.
template <typename Bits>
__device__ Cut<KeyOf<Bits>> cut_of_row(const Magnitudes<Bits>& row, int64_t keep, MarkRow& memory) {
  Cut<KeyOf<Bits>> cut{0, keep};
  for (Digit digit = highest_digit<Bits>(); digit.bits > 0; digit = digit.below()) {
    for (int i = threadIdx.x; i < kNumDigits; i += kRankThreads) memory.counts[i] = 0;
    __syncthreads();
    for (int64_t entry = threadIdx.x; entry < row.count; entry += kRankThreads) {
      const auto key = row.key(entry);
      if (digit.same_above(key, cut.key)) atomicAdd(&memory.counts[digit.of(key)], 1u);
    }
    __syncthreads();
    cut = choose_digit<KeyOf<Bits>, uint32_t>(cut, digit, memory.counts, memory.choose);
  }
  return cut;
}

template <typename Bits>
__global__ void __launch_bounds__(kRankThreads)
    mark_rows(Magnitudes<Bits> weight, int64_t width, int64_t keep, bool* mask) {
  auto& memory = shared<MarkRow>();
  for (int64_t begin = blockIdx.x * width; begin < weight.count; begin += gridDim.x * width) {
    const Magnitudes<Bits> row{weight.bits + begin, width, weight.infinity};
    const auto cut = cut_of_row(row, keep, memory);
    int64_t equal_before = 0;
    for (int64_t first = 0; first < width; first += kRankThreads) {
      const int64_t entry = first + threadIdx.x;
      const auto key = entry < width ? row.key(entry) : 0;
      const bool equal = entry < width && key == cut.key;
      const auto ties = block_sum_below<int>(equal, memory.sum);
      if (entry < width) {
        mask[begin + entry] = key > cut.key || (equal && equal_before + ties.below < cut.rank);
      }
      equal_before += ties.total;
      __syncthreads();
    }
  }
}

}  // namespace

template <typename Bits>
void strongest_mask_by_row(const Magnitudes<Bits>& weight, int64_t width, int64_t keep, bool* mask,
                           const Stream& stream) {
  constexpr int64_t kMostBlocks = 1024;
  const int64_t num_rows = weight.count / width;
  launch(mark_rows<Bits>, num_rows < kMostBlocks ? num_rows : kMostBlocks, kRankThreads,
         sizeof(MarkRow), stream.handle, weight, width, keep, mask);
}

template void strongest_mask_by_row(const Magnitudes<uint16_t>&, int64_t, int64_t, bool*,
                                    const Stream&);
template void strongest_mask_by_row(const Magnitudes<uint32_t>&, int64_t, int64_t, bool*,
                                    const Stream&);
template void strongest_mask_by_row(const Magnitudes<uint64_t>&, int64_t, int64_t, bool*,
                                    const Stream&);

}  // namespace rewire::kernels::cuda
