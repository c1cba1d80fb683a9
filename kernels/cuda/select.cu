// The selection writes CSR while it marks entries: an entry knows how many are kept before it, and
// that is its place. The transpose is a counting sort of the edges by column, which keeps their
// order and so the ascending rows: edges are cut into chunks, a warp each; edges are counted by
// chunk and column; the counts are summed into where each chunk's edges begin in each column; and
// each warp puts its edges there.
#include "kernels/cuda/select.h"

#include <algorithm>

#include "kernels/cuda/strongest.cuh"

namespace rewire::kernels::cuda {
namespace {

template <typename Bits>
struct WriteEdge {
  Structure<Bits> out;
  int32_t* edge_rows;  // [num_edges] in CSR order

  __device__ void operator()(int64_t entry, bool kept, const Places& before,
                             const Cut<KeyOf<Bits>>& cut) const {
    const int64_t place = before.next(cut.rank);
    const int64_t row = quotient(entry, out.num_columns);
    const int64_t column = entry - row * out.num_columns;
    if (column == 0) out.row_offsets[row] = place;
    if (kept) {
      out.columns[place] = column;
      edge_rows[place] = row;
    }
    if (entry == 0) {
      out.row_offsets[out.num_rows] = out.num_edges;
      *out.threshold = cut.key;
    }
  }
};

// The edges of a structure, cut into chunks.
struct Chunks {
  int64_t num_edges;
  int64_t num_columns;
  int64_t num_chunks;
  int64_t length;
  const int32_t* columns;    // [num_edges]
  const int32_t* edge_rows;  // [num_edges]
  int32_t* starts;           // [num_chunks, num_columns] counts, then places in the transpose

  // The chunk of this warp; num_chunks or above if there is none.
  __device__ int64_t chunk() const {
    return static_cast<int64_t>(blockIdx.x) * (blockDim.x / kWarp) + warp();
  }
  __device__ int64_t end(int64_t chunk) const { return min((chunk + 1) * length, num_edges); }
};

constexpr int kChunkThreads = 256;

__global__ void __launch_bounds__(kChunkThreads) count_columns(Chunks edges) {
  const int64_t chunk = edges.chunk();
  if (chunk >= edges.num_chunks) return;
  int32_t* const counts = edges.starts + chunk * edges.num_columns;
  for (int64_t edge = chunk * edges.length + lane(); edge < edges.end(chunk); edge += kWarp) {
    atomicAdd(&counts[edges.columns[edge]], 1);
  }
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
    start_columns(Chunks edges, Tiles tiles, int32_t* column_offsets) {
  auto& memory = shared<StartColumns>();
  const int64_t tile = take_tile(tiles, memory.tile);
  const int64_t column = tile * kWarp + lane();
  const bool is_column = column < edges.num_columns;
  const int64_t first = warp() * edges.num_chunks / kGroups;
  const int64_t last = (warp() + 1) * edges.num_chunks / kGroups;

  int32_t count = 0;
  for (int64_t chunk = first; chunk < last && is_column; ++chunk) {
    count += edges.starts[chunk * edges.num_columns + column];
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
    int32_t& start = edges.starts[chunk * edges.num_columns + column];
    const int32_t chunk_count = start;
    start = place;
    place += chunk_count;
  }
  if (warp() == kGroups - 1 && column == edges.num_columns - 1) column_offsets[column + 1] = place;
}

// A warp takes 32 edges at a time; lanes whose edges share a column take its places in turn.
__global__ void __launch_bounds__(kChunkThreads)
    fill_columns(Chunks edges, int32_t* rows, int32_t* order) {
  const int64_t chunk = edges.chunk();
  if (chunk >= edges.num_chunks) return;
  int32_t* const starts = edges.starts + chunk * edges.num_columns;
  for (int64_t first = chunk * edges.length; first < edges.end(chunk); first += kWarp) {
    const int64_t edge = first + lane();
    const bool is_edge = edge < edges.end(chunk);
    const int column = is_edge ? edges.columns[edge] : -1;
    const uint32_t same = __match_any_sync(kAllLanes, column);
    const int turn = __popc(same & lanes_below());
    const int32_t start = is_edge ? starts[column] : 0;
    __syncwarp();
    if (is_edge) {
      if (turn == 0) starts[column] = start + __popc(same);
      rows[start + turn] = edges.edge_rows[edge];
      order[start + turn] = edge;
    }
    __syncwarp();
  }
}

// Few edges a chunk, so that many warps work; but no larger a table of counts than a few times the
// edges or columns, and no more rows of it than a group of chunks can walk down in its time.
Chunks chunks_of(int64_t num_edges, int64_t num_columns) {
  constexpr int64_t kShortest = 256;
  constexpr int64_t kLargestTable = 4;
  constexpr int64_t kMostChunks = 1024;
  const int64_t most =
      std::min(kMostChunks, kLargestTable * std::max(num_edges, num_columns) / num_columns);
  const int64_t length = std::max(kShortest, blocks_of(num_edges, most));
  return {.num_edges = num_edges,
          .num_columns = num_columns,
          .num_chunks = blocks_of(num_edges, length),
          .length = length,
          .columns = nullptr,
          .edge_rows = nullptr,
          .starts = nullptr};
}

template <typename Bits>
void write_transpose(Chunks edges, const Structure<Bits>& out, const Stream& stream) {
  const int64_t num_tiles = blocks_of(edges.num_columns, kWarp);
  const int64_t num_counts = edges.num_chunks * edges.num_columns;
  const size_t bytes = (num_tiles + 1) * sizeof(unsigned long long) + num_counts * sizeof(int32_t);
  auto* const states = static_cast<unsigned long long*>(stream.scratch(bytes));
  zero(states, bytes, stream.handle);
  const Tiles tiles{states, reinterpret_cast<unsigned*>(states + num_tiles)};
  edges.starts = reinterpret_cast<int32_t*>(states + num_tiles + 1);

  constexpr int64_t kChunksABlock = kChunkThreads / kWarp;
  const int64_t chunk_blocks = blocks_of(edges.num_chunks, kChunksABlock);
  launch(count_columns, chunk_blocks, kChunkThreads, 0, stream.handle, edges);
  launch(start_columns, num_tiles, kStartThreads, sizeof(StartColumns), stream.handle, edges, tiles,
         out.column_offsets);
  launch(fill_columns, chunk_blocks, kChunkThreads, 0, stream.handle, edges, out.rows, out.order);
}

}  // namespace

template <typename Bits>
void select(const Magnitudes<Bits>& weight, const Structure<Bits>& out, const Stream& stream) {
  auto* const edge_rows = static_cast<int32_t*>(stream.scratch(out.num_edges * sizeof(int32_t)));
  for_each_marked<Places>(weight, out.num_edges, WriteEdge<Bits>{out, edge_rows}, stream);
  Chunks edges = chunks_of(out.num_edges, out.num_columns);
  edges.columns = out.columns;
  edges.edge_rows = edge_rows;
  write_transpose(edges, out, stream);
}

template void select(const Magnitudes<uint16_t>&, const Structure<uint16_t>&, const Stream&);
template void select(const Magnitudes<uint32_t>&, const Structure<uint32_t>&, const Stream&);
template void select(const Magnitudes<uint64_t>&, const Structure<uint64_t>&, const Stream&);

}  // namespace rewire::kernels::cuda
