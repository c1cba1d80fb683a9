#include "ops/strongest.h"

#include <ATen/ops/empty.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "kernels/cpu/keep_strongest.h"

namespace rewire::ops {
namespace {

using kernels::Candidates;
using kernels::KeyOf;
using kernels::Magnitudes;

// One range of the weight for each thread, less where a range would be too short to be worth a
// thread. Ranges are of at least eight rows, so that a table of [ranges, columns] stays smaller
// than the weight. The number of ranges never shows in a result.
template <typename Key>
std::vector<Candidates<Key>> split(int64_t num_entries, int64_t num_rows) {
  constexpr int64_t kLongest = int64_t{1} << 31;  // offsets in a range are uint32
  int64_t num_ranges =
      std::min({int64_t{at::get_num_threads()}, num_entries / kGrain, num_rows / 8});
  num_ranges = std::max({num_ranges, int64_t{1}, (num_entries + kLongest - 1) / kLongest});

  std::vector<Candidates<Key>> chunks(num_ranges);
  for (int64_t i = 0; i < num_ranges; ++i) {
    chunks[i].begin = num_entries / num_ranges * i + std::min(i, num_entries % num_ranges);
    if (i > 0) chunks[i - 1].end = chunks[i].begin;
  }
  chunks.back().end = num_entries;
  return chunks;
}

// Collects the entries at or above the bound; false if they are fewer than `keep`.
template <typename Bits>
bool collect(const char* op, const Magnitudes<Bits>& weight, int64_t num_rows, int64_t keep,
             KeyOf<Bits> bound, std::vector<Candidates<KeyOf<Bits>>>& chunks) {
  // Unless the strong entries lie together, a range has about its share of them.
  const int64_t expected = keep / chunks.size() * 3 / 2 + 4096;
  at::parallel_for(0, chunks.size(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      chunks[i].bound = bound;
      chunks[i].reserve(std::min(expected, chunks[i].end - chunks[i].begin));
      kernels::collect(weight, chunks[i]);
    }
  });
  int64_t found = 0;
  for (const auto& chunk : chunks) {
    if (chunk.largest > weight.infinity) {
      refuse_nan(op, weight, num_rows, chunk.begin, chunk.end);
    }
    found += chunk.count;
  }
  return found >= keep;
}

}  // namespace

template <typename Bits>
Strongest<KeyOf<Bits>> find_strongest(const char* op, const Magnitudes<Bits>& weight,
                                      int64_t num_rows, int64_t keep,
                                      std::optional<KeyOf<Bits>> hint) {
  Strongest<KeyOf<Bits>> strongest{{weight.infinity, 0}, {}};
  if (weight.count == 0) return strongest;
  strongest.chunks = split<KeyOf<Bits>>(weight.count, num_rows);
  const auto enough_from = [&](KeyOf<Bits> bound) {
    return collect(op, weight, num_rows, keep, bound, strongest.chunks);
  };

  if (keep == 0) {
    enough_from(weight.infinity + 1);  // finds NaN alone
    return strongest;
  }
  // Each bound is lower than the last or fails more rarely; from 0 on, every entry is a candidate.
  const bool found = (hint && enough_from(kernels::hinted_bound(weight, *hint))) ||
                     enough_from(kernels::sampled_bound(weight, keep)) || enough_from(0);
  TORCH_INTERNAL_ASSERT(found);
  strongest.cut = kernels::cut_of<KeyOf<Bits>>(strongest.chunks, keep);
  return strongest;
}

at::Tensor mask_of_strongest(const char* op, const at::Tensor& weight, int64_t keep) {
  const at::Tensor mask = at::empty(weight.sizes(), weight.options().dtype(at::kBool));
  const at::Tensor dense = weight.contiguous();
  with_magnitudes(dense, [&](const auto& magnitudes) {
    const auto cut = find_strongest(op, magnitudes, num_rows(weight), keep).cut;
    at::parallel_for(0, weight.numel(), kGrain, [&](int64_t begin, int64_t end) {
      kernels::strongest_mask(magnitudes, cut, begin, end, mask.mutable_data_ptr<bool>());
    });
  });
  return mask;
}

template <typename Bits>
void refuse_nan(const char* op, const Magnitudes<Bits>& weight, int64_t num_rows, int64_t begin,
                int64_t end) {
  const int64_t width = weight.count / num_rows;
  for (int64_t entry = begin; entry < end; ++entry) {
    TORCH_CHECK(weight.key(entry) <= weight.infinity, op,
                ": expected weight without NaN, got NaN in row ", entry / width, ", column ",
                entry % width);
  }
}

int64_t num_rows(const at::Tensor& weight) { return weight.dim() < 2 ? 1 : weight.size(0); }

#define REWIRE_INSTANTIATE(Bits)                                                                \
  template Strongest<KeyOf<Bits>> find_strongest(const char*, const Magnitudes<Bits>&, int64_t, \
                                                 int64_t, std::optional<KeyOf<Bits>>);          \
  template void refuse_nan(const char*, const Magnitudes<Bits>&, int64_t, int64_t, int64_t);
REWIRE_INSTANTIATE(uint16_t)
REWIRE_INSTANTIATE(uint32_t)
REWIRE_INSTANTIATE(uint64_t)
#undef REWIRE_INSTANTIATE

}  // namespace rewire::ops
