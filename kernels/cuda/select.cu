// The selection writes CSR while it marks entries: an entry knows how many are kept before it, and
// that is its place. It leaves a bit for each entry, and with each 32 of them how many are kept
// before: the transpose is found by walking down the columns of these, a lane a column, once to
// count and once to write. Rows are cut into chunks, so that many warps walk; between the walks the
// counts, by chunk and column, are summed into where each chunk's edges begin in each column.
#include "kernels/cuda/select.h"

#include <algorithm>

#include "kernels/cuda/strongest.cuh"

namespace rewire::kernels::cuda {
namespace {

// 32 entries side by side, the first of which has an index divisible by 32.
struct alignas(8) Marks {
  uint32_t kept;   // a bit an entry
  int32_t before;  // kept entries before these
};

template <typename Bits>
struct WriteEdge {
  Structure<Bits> out;
  Marks* marks;  // [blocks of 32 entries]

  __device__ void operator()(int64_t entry, uint32_t kept, const Places& before,
                             const Cut<KeyOf<Bits>>& cut) const {
    const int64_t place = before.next(cut.rank);
    if (lane() == 0) marks[entry / kWarp] = {kept, static_cast<int32_t>(place)};
    if (kept >> lane() & 1) {
      const int64_t row = quotient(entry, out.num_columns);
      out.columns[place + __popc(kept & lanes_below())] = entry - row * out.num_columns;
    }
    if (entry == 0) *out.threshold = cut.key;
  }
};

// The marks of a matrix, its rows cut into chunks.
struct Chunks {
  int64_t num_rows;
  int64_t num_columns;
  int64_t num_chunks;
  int64_t length;  // rows of a chunk
  const Marks* marks;
  int32_t* starts;  // [num_chunks, num_columns] counts, then places in the transpose
};

constexpr int kWalkThreads = 128;  // each with a column of its own
constexpr int kRowsAhead = 8;      // whose marks are asked for before the first is looked at

// Calls f(row, is_edge, place in CSR) for the rows of the block's chunk, in the thread's column.
template <typename F>
__device__ void walk_down(const Chunks& matrix, int64_t chunk, int64_t column, F&& f) {
  const int64_t last = min((chunk + 1) * matrix.length, matrix.num_rows);
  for (int64_t first = chunk * matrix.length; first < last; first += kRowsAhead) {
    Marks marks[kRowsAhead];
#pragma unroll
    for (int i = 0; i < kRowsAhead; ++i) {
      const int64_t entry = (first + i) * matrix.num_columns + column;
      marks[i] = first + i < last ? matrix.marks[entry / kWarp] : Marks{0, 0};
    }
#pragma unroll
    for (int i = 0; i < kRowsAhead; ++i) {
      if (first + i >= last) continue;
      const int64_t entry = (first + i) * matrix.num_columns + column;
      const uint32_t own = 1u << (entry % kWarp);
      f(first + i, (marks[i].kept & own) != 0, marks[i].before + __popc(marks[i].kept & (own - 1)));
    }
  }
}

// The column and the chunk of this thread; false if there is no such column.
struct Walk {
  int64_t chunk;
  int64_t column;

  __device__ explicit Walk(const Chunks& matrix)
      : chunk(blockIdx.x % matrix.num_chunks),
        column(blockIdx.x / matrix.num_chunks * kWalkThreads + threadIdx.x) {}
};

__global__ void __launch_bounds__(kWalkThreads) count_columns(Chunks matrix) {
  const Walk own(matrix);
  if (own.column >= matrix.num_columns) return;
  int32_t count = 0;
  walk_down(matrix, own.chunk, own.column,
            [&](int64_t, bool is_edge, int32_t) { count += is_edge; });
  matrix.starts[own.chunk * matrix.num_columns + own.column] = count;
}

template <typename Bits>
__global__ void __launch_bounds__(kWalkThreads) fill_columns(Chunks matrix, Structure<Bits> out) {
  const Walk own(matrix);
  if (own.column >= matrix.num_columns) return;
  int32_t next = matrix.starts[own.chunk * matrix.num_columns + own.column];
  walk_down(matrix, own.chunk, own.column, [&](int64_t row, bool is_edge, int32_t place) {
    if (own.column == 0) out.row_offsets[row] = place;
    if (!is_edge) return;
    out.rows[next] = row;
    out.order[next] = place;
    ++next;
  });
  if (own.column == 0 && own.chunk == 0) out.row_offsets[out.num_rows] = out.num_edges;
}

// Columns are taken 32 at a time, a lane each, and the chunks in groups, a warp each.
constexpr int kGroups = 32;
constexpr int kStartThreads = kGroups * kWarp;

struct StartColumns {
  unsigned tile;
  int32_t of_group[kGroups][kWarp];  // edges by column
  int32_t starts[kWarp];
};

__global__ void __launch_bounds__(kStartThreads)
    start_columns(Chunks matrix, Tiles tiles, int32_t* column_offsets) {
  auto& memory = shared<StartColumns>();
  const int64_t tile = take_tile(tiles, memory.tile);
  const int64_t column = tile * kWarp + lane();
  const bool is_column = column < matrix.num_columns;
  const int64_t first = warp() * matrix.num_chunks / kGroups;
  const int64_t last = (warp() + 1) * matrix.num_chunks / kGroups;

  int32_t count = 0;
  for (int64_t chunk = first; chunk < last && is_column; ++chunk) {
    count += matrix.starts[chunk * matrix.num_columns + column];
  }
  memory.of_group[warp()][lane()] = count;
  __syncthreads();
  int32_t before_group = 0;
  for (int group = 0; group < warp(); ++group) before_group += memory.of_group[group][lane()];
  if (warp() == kGroups - 1) {
    const int64_t of_column = before_group + count;
    const auto before = sum_of_tiles_before(tiles, tile, Places{warp_sum(of_column), 0});
    memory.starts[lane()] = before.above + warp_sum_below(of_column);
  }
  __syncthreads();
  if (!is_column) return;

  int32_t place = memory.starts[lane()] + before_group;
  if (warp() == 0) column_offsets[column] = place;
  for (int64_t chunk = first; chunk < last; ++chunk) {
    int32_t& start = matrix.starts[chunk * matrix.num_columns + column];
    const int32_t chunk_count = start;
    start = place;
    place += chunk_count;
  }
  if (warp() == kGroups - 1 && column == matrix.num_columns - 1) column_offsets[column + 1] = place;
}

// Few rows a chunk, so that many warps walk; but no larger a table of counts than a few times the
// edges or columns, and no more rows of it than a group of chunks can walk down in its time.
Chunks chunks_of(int64_t num_rows, int64_t num_columns, int64_t num_edges) {
  constexpr int64_t kShortest = 2 * kRowsAhead;
  constexpr int64_t kLargestTable = 4;
  constexpr int64_t kMostChunks = 1024;
  const int64_t most =
      std::min(kMostChunks, kLargestTable * std::max(num_edges, num_columns) / num_columns);
  const int64_t length = std::max(kShortest, blocks_of(num_rows, most));
  return {.num_rows = num_rows,
          .num_columns = num_columns,
          .num_chunks = blocks_of(num_rows, length),
          .length = length,
          .marks = nullptr,
          .starts = nullptr};
}

template <typename Bits>
void write_transpose(const Marks* marks, const Structure<Bits>& out, const Stream& stream) {
  Chunks matrix = chunks_of(out.num_rows, out.num_columns, out.num_edges);
  const int64_t num_tiles = blocks_of(matrix.num_columns, kWarp);
  const size_t states_bytes = (num_tiles + 1) * sizeof(unsigned long long);
  const size_t table_bytes = matrix.num_chunks * matrix.num_columns * sizeof(int32_t);
  auto* const states = static_cast<unsigned long long*>(stream.scratch(states_bytes + table_bytes));
  zero(states, states_bytes, stream.handle);
  const Tiles tiles{states, reinterpret_cast<unsigned*>(states + num_tiles)};
  matrix.marks = marks;
  matrix.starts = reinterpret_cast<int32_t*>(states + num_tiles + 1);

  const int64_t blocks = blocks_of(matrix.num_columns, kWalkThreads) * matrix.num_chunks;
  launch(count_columns, blocks, kWalkThreads, 0, stream.handle, matrix);
  launch(start_columns, num_tiles, kStartThreads, sizeof(StartColumns), stream.handle, matrix,
         tiles, out.column_offsets);
  launch(fill_columns<Bits>, blocks, kWalkThreads, 0, stream.handle, matrix, out);
}

}  // namespace

template <typename Bits>
void select(const Magnitudes<Bits>& weight, const Structure<Bits>& out, const Stream& stream) {
  auto* const marks =
      static_cast<Marks*>(stream.scratch(blocks_of(weight.count, kWarp) * sizeof(Marks)));
  for_each_marked<Places>(weight, out.num_edges, WriteEdge<Bits>{out, marks}, stream);
  write_transpose(marks, out, stream);
}

template void select(const Magnitudes<uint16_t>&, const Structure<uint16_t>&, const Stream&);
template void select(const Magnitudes<uint32_t>&, const Structure<uint32_t>&, const Stream&);
template void select(const Magnitudes<uint64_t>&, const Structure<uint64_t>&, const Stream&);

}  // namespace rewire::kernels::cuda
