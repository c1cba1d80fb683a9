// From chosen entries of a matrix to its edges in CSR, by output and by input.
#pragma once

#include <cstdint>

#include "kernels/cpu/candidates.h"
#include "kernels/cpu/cut.h"

namespace rewire::kernels {

// Drops the candidates that the cut excludes. Only offsets and count are kept up to date.
template <typename Key>
void drop_excluded(const Cut<Key>& cut, Candidates<Key>& chunk);

// The chosen entries of the range [begin, end) of a matrix [rows, num_columns], row-major.
struct EdgeRange {
  int64_t begin;
  int64_t end;
  int64_t num_columns;
  const uint32_t* offsets;  // [num_edges] edge i is entry begin + offsets[i], ascending
  int64_t num_edges;
  int64_t first_edge;  // the position in CSR of edge 0
};

// Writes what CSR says of the range.
// columns        [edges] at first_edge and up
// row_offsets    [rows] for the rows that begin in the range; the last offset is the caller's
// column_counts  [num_columns] raised by the range's edges in each column
void fill_rows(const EdgeRange& range, int32_t* row_offsets, int32_t* columns,
               int32_t* column_counts);

// Turns counts of edges [num_ranges, num_columns] into the position, in the transpose, of the
// first edge of each range in each column. Writes column_offsets [num_columns + 1].
void start_columns(int64_t num_ranges, int64_t num_columns, int32_t* counts,
                   int32_t* column_offsets);

// Writes what the transpose says of the range's edges.
// next   [num_columns] the range's row of start_columns; used up
// rows   [edges] the row of the j-th edge by column
// order  [edges] its position in CSR
void fill_columns(const EdgeRange& range, int32_t* next, int32_t* rows, int32_t* order);

}  // namespace rewire::kernels
