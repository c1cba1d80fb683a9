// Slow, obvious versions of the ops, of torch's own ops alone: written to be read.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/rewire.h"

namespace rewire::test {

// True for the `keep` entries of largest magnitude; of equal ones the lower index is kept.
at::Tensor strongest(const at::Tensor& weight, int64_t keep);

// The same in each row, the first dimension, by itself.
at::Tensor strongest_by_row(const at::Tensor& weight, int64_t keep);

// What a selection says of the edges that a mask [out, in] leaves.
ops::Selection structure_of(const at::Tensor& weight, const at::Tensor& mask);

}  // namespace rewire::test
