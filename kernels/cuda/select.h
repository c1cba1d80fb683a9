// From a weight to its strongest edges as CSR, by output and by input, on a device.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/magnitudes.h"

namespace rewire::kernels::cuda {

// What a selection writes, in device memory.
template <typename Bits>
struct Structure {
  int64_t num_rows;         // outputs
  int64_t num_columns;      // inputs; the weight has num_rows * num_columns entries, row-major
  int64_t num_edges;        // how many are kept: 0 < num_edges <= 2^31 - 1
  int32_t* row_offsets;     // [num_rows + 1]
  int32_t* columns;         // [num_edges] ascending in a row
  int32_t* column_offsets;  // [num_columns + 1]
  int32_t* rows;            // [num_edges] ascending in a column
  int32_t* order;           // [num_edges] position in CSR of the transpose's j-th edge
  Bits* threshold;          // [1] the smallest magnitude kept
};

template <typename Bits>
void select(const Magnitudes<Bits>& weight, const Structure<Bits>& out, const Stream& stream);

}  // namespace rewire::kernels::cuda
