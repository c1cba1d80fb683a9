#include "kernels/cpu/select.h"

namespace rewire::kernels {
namespace {

// Calls f(position in CSR, row, column) for each edge of the range. Rows are found by counting on,
// not by a division an edge.
template <typename F>
void for_each_edge(const EdgeRange& range, F&& f) {
  int64_t row = 0;
  int64_t row_begin = 0;
  int64_t row_end = 0;
  for (int64_t i = 0; i < range.num_edges; ++i) {
    const int64_t entry = range.begin + range.offsets[i];
    if (entry >= row_end) {
      row = entry / range.num_columns;
      row_begin = row * range.num_columns;
      row_end = row_begin + range.num_columns;
    }
    f(range.first_edge + i, row, entry - row_begin);
  }
}

}  // namespace

template <typename Key>
void drop_excluded(const Cut<Key>& cut, Candidates<Key>& chunk) {
  int64_t kept = 0;
  for (int64_t i = 0; i < chunk.count; ++i) {
    const uint32_t offset = chunk.offsets[i];
    chunk.offsets[kept] = offset;
    kept += chunk.keys[i] >= cut.lowest_kept(chunk.begin + offset);
  }
  chunk.count = kept;
}

void fill_rows(const EdgeRange& range, int32_t* row_offsets, int32_t* columns,
               int32_t* column_counts) {
  int64_t next_row = (range.begin + range.num_columns - 1) / range.num_columns;
  for_each_edge(range, [&](int64_t position, int64_t row, int64_t column) {
    for (; next_row <= row; ++next_row) row_offsets[next_row] = position;
    columns[position] = column;
    ++column_counts[column];
  });
  for (; next_row * range.num_columns < range.end; ++next_row) {
    row_offsets[next_row] = range.first_edge + range.num_edges;
  }
}

void start_columns(int64_t num_ranges, int64_t num_columns, int32_t* counts,
                   int32_t* column_offsets) {
  int32_t position = 0;
  for (int64_t column = 0; column < num_columns; ++column) {
    column_offsets[column] = position;
    for (int64_t range = 0; range < num_ranges; ++range) {
      int32_t& count = counts[range * num_columns + column];
      const int32_t start = position;
      position += count;
      count = start;
    }
  }
  column_offsets[num_columns] = position;
}

void fill_columns(const EdgeRange& range, int32_t* next, int32_t* rows, int32_t* order) {
  for_each_edge(range, [&](int64_t position, int64_t row, int64_t column) {
    const int32_t j = next[column]++;
    rows[j] = row;
    order[j] = position;
  });
}

template void drop_excluded(const Cut<uint32_t>&, Candidates<uint32_t>&);
template void drop_excluded(const Cut<uint64_t>&, Candidates<uint64_t>&);

}  // namespace rewire::kernels
