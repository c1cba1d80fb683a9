// The selection on the CPU that select, strongest_mask, keep_strongest and targeted_dropout share:
// the cut below which entries are not kept, and the work split over threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/cpu/cut.h"
#include "ops/magnitudes.h"

namespace rewire::ops {

// Entries that are worth a thread, where a pass does little to each.
constexpr int64_t kGrain = 32768;

template <typename Key>
struct Strongest {
  kernels::Cut<Key> cut;
  // Consecutive ranges that cover the weight; all kept entries are among their candidates.
  std::vector<kernels::Candidates<Key>> chunks;
};

// Finds the `keep` strongest of a weight of `num_rows` rows; `op` is named where one is NaN.
// hint: the key of an earlier threshold, of any value.
template <typename Bits>
Strongest<kernels::KeyOf<Bits>> find_strongest(
    const char* op, const kernels::Magnitudes<Bits>& weight, int64_t num_rows, int64_t keep,
    std::optional<kernels::KeyOf<Bits>> hint = std::nullopt);

// True where a weight's entry is among its `keep` strongest: bool, contiguous, of its shape.
at::Tensor mask_of_strongest(const char* op, const at::Tensor& weight, int64_t keep);

// Throws an error that names the first NaN among the entries [begin, end), if there is one.
template <typename Bits>
void refuse_nan(const char* op, const kernels::Magnitudes<Bits>& weight, int64_t num_rows,
                int64_t begin, int64_t end);

// Rows of a weight: its first dimension, or 1 where it has fewer than two.
int64_t num_rows(const at::Tensor& weight);

}  // namespace rewire::ops
