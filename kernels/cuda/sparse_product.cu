// A block has a tile of columns, as many as a warp's lanes hold side by side, and some of the
// targets, a warp one at a time: what it reads of the sources, their columns of the tile, fits the
// first cache, so that each source comes once from memory for all the edges that read it. What
// bounds the product then is that cache, which gives a warp 128 bytes a clock.
//
// Edges are read by the lanes, 32 side by side, and handed round through shared memory.
#include "kernels/cuda/sparse_product.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "kernels/cuda/block.cuh"

namespace rewire::kernels::cuda {
namespace {

constexpr int kMostThreads = 1024;  // with their registers, all that a multiprocessor holds
constexpr int kMostWarps = kMostThreads / kWarp;
constexpr int kFewThreads = 256;        // of kernels beside
constexpr int64_t kFewestBlocks = 264;  // two for each multiprocessor of a large GPU
constexpr int64_t kFirstCache = 192 << 10;

struct Range {
  int32_t begin;
  int32_t end;
};

// The first of the edges in [begin, end) whose source is at least `least`, or end.
__device__ inline int32_t first_from(const int32_t* sources, int32_t begin, int32_t end,
                                     int64_t least) {
  while (begin < end) {
    const int32_t middle = begin + (end - begin) / 2;
    if (sources[middle] < least) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

// The edges of each target in the rectangle, a thread a target: many warps will ask for them.
template <typename T>
__global__ void __launch_bounds__(kFewThreads) find_ranges(Edges<T> edges, Range* ranges) {
  const int64_t target = static_cast<int64_t>(blockIdx.x) * kFewThreads + threadIdx.x;
  if (target >= edges.num_targets) return;
  const int32_t* const of_target = edges.offsets + edges.first_target + target;
  const int32_t begin = first_from(edges.sources, of_target[0], of_target[1], edges.first_source);
  ranges[target] = {begin, first_from(edges.sources, begin, of_target[1],
                                      edges.first_source + edges.num_sources)};
}

// What a lane has of a row: neighbouring columns, read and written as one.
template <typename T, int kColumns>
struct alignas(sizeof(T) * kColumns) Columns {
  T of[kColumns];
};

template <typename T, int kColumns>
__device__ const Columns<T, kColumns>& columns_at(const T* row) {
  return *reinterpret_cast<const Columns<T, kColumns>*>(row);
}

template <typename T, int kColumns>
__device__ void add(Columns<T, kColumns>& sums, T weight, const Columns<T, kColumns>& columns) {
#pragma unroll
  for (int k = 0; k < kColumns; ++k) sums.of[k] += weight * columns.of[k];
}

// A tile is as many columns as the lanes of a warp hold, counted on from image to image.
template <int kColumns>
constexpr int64_t tiles_of(const Maps& maps) {
  return blocks_of(maps.batch * maps.places, kColumns * kWarp);
}

// A lane's columns of a tile. Where there are none, it works on the first ones, and keeps nothing.
struct Place {
  int64_t image;
  int64_t column;
  bool inside;
};

template <int kColumns>
__device__ Place place_of(const Maps& maps, int64_t tile) {
  const int64_t first = (tile * kWarp + lane()) * kColumns;
  if (first >= maps.batch * maps.places) return {0, 0, false};
  return {first / maps.places, first % maps.places, true};
}

// A lane's columns in the row of a source, `offset` rows' columns after those in the first row. The
// host has seen that offsets fit 32 bits.
template <typename T, int kColumns>
__device__ const Columns<T, kColumns>& columns_from(const T* first_row, uint32_t offset) {
  return reinterpret_cast<const Columns<T, kColumns>*>(first_row)[offset];
}

// A warp's targets, one after the other, of the block's share of them; and of each its edges, up to
// 32 at a time, an edge a lane. What a lane has next is asked for while the warp works on what it
// has.
template <typename T, bool kWeights>
class EdgeStream {
 public:
  struct alignas(2 * sizeof(T)) Edge {
    uint32_t offset;  // of the source's row
    T weight;
  };

  // A row's columns are `row_length` times what a lane has of it.
  __device__ EdgeStream(const Edges<T>& edges, const Range* ranges, uint32_t row_length,
                        int64_t share, int64_t shares)
      : edges_(edges),
        ranges_(ranges),
        row_length_(row_length),
        target_(share * warps() + warp()),
        step_(shares * warps()) {
    range_ = range_of(target_);
    next_range_ = range_of(target_ + step_);
    ask(range_);
  }

  __device__ bool has_target() const { return target_ < edges_.num_targets; }
  __device__ int64_t target() const { return target_; }
  // The first edge of those taken last, and how many there are; 0 of a target without edges.
  __device__ int32_t first_edge() const { return first_edge_; }
  __device__ int count() const { return count_; }

  // This lane's edge; of a lane beyond the last, that one. `more`: whether the target has edges
  // after these; if not, the next target's are next.
  __device__ Edge take(bool& more) {
    const Edge edge = ahead_;
    first_edge_ = range_.begin;
    count_ = min(kWarp, static_cast<int>(range_.end - range_.begin));
    range_.begin += kWarp;
    more = range_.begin < range_.end;
    if (!more) {
      range_ = next_range_;
    }
    ask(range_);
    return edge;
  }

  __device__ void next_target() {
    target_ += step_;
    next_range_ = range_of(target_ + step_);
  }

 private:
  __device__ Range range_of(int64_t target) const {
    return target < edges_.num_targets ? ranges_[target] : Range{0, 0};
  }
  __device__ void ask(const Range& range) {
    if (range.begin >= range.end) return;
    const int32_t edge = min(range.begin + lane(), range.end - 1);
    const auto source = static_cast<uint32_t>(edges_.sources[edge] - edges_.first_source);
    ahead_.offset = source * row_length_;
    if (kWeights) ahead_.weight = edges_.values[edges_.order ? edges_.order[edge] : edge];
  }

  const Edges<T>& edges_;
  const Range* const ranges_;
  const uint32_t row_length_;
  int64_t target_;
  const int64_t step_;
  Range range_, next_range_;
  Edge ahead_ = {0, T{0}};
  int32_t first_edge_ = 0;
  int count_ = 0;
};

// Of the memory that lanes hand edges round by, a warp reads 16 bytes a clock, if all lanes read
// the same: so much is read at once.
constexpr int kUnrolled = 4;  // edges whose sources are asked for before the first is there

template <typename T>
struct Staged {
  typename EdgeStream<T, true>::Edge edges[kMostWarps][kWarp];
};

template <int kCount, typename Entry>
struct alignas(16) Several {
  Entry of[kCount];
};
template <int kCount, typename Entry>
__device__ Several<kCount, Entry> read(const Entry* staged) {
  return *reinterpret_cast<const Several<kCount, Entry>*>(staged);
}

template <typename T, int kColumns>
__global__ void __launch_bounds__(kMostThreads, 1)
    multiply(Edges<T> edges, const Range* __restrict__ ranges, Maps maps, int64_t shares,
             const T* __restrict__ source, const T* __restrict__ bias, bool accumulate,
             T* __restrict__ out) {
  auto* const staged = shared<Staged<T>>().edges[warp()];
  const Place place = place_of<kColumns>(maps, blockIdx.x / shares);
  const T* const from = source + place.image * edges.num_sources * maps.places + place.column;
  EdgeStream<T, true> stream(edges, ranges, maps.places / kColumns, blockIdx.x % shares, shares);
  for (; stream.has_target(); stream.next_target()) {
    const int64_t target = stream.target();
    T* const to = out + (place.image * edges.num_targets + target) * maps.places + place.column;
    Columns<T, kColumns> sums;
    if (accumulate) {
      sums = columns_at<T, kColumns>(to);
    } else {
      for (T& sum : sums.of) sum = bias ? bias[target] : T{0};
    }
    for (bool more = true; more;) {
      staged[lane()] = stream.take(more);
      __syncwarp();
      const int count = stream.count();
      int i = 0;
      for (; i + kUnrolled <= count; i += kUnrolled) {
        const auto several = read<kUnrolled>(&staged[i]);
        Columns<T, kColumns> columns[kUnrolled];
#pragma unroll
        for (int j = 0; j < kUnrolled; ++j) {
          columns[j] = columns_from<T, kColumns>(from, several.of[j].offset);
        }
#pragma unroll
        for (int j = 0; j < kUnrolled; ++j) add(sums, several.of[j].weight, columns[j]);
      }
      for (; i < count; ++i) {
        add(sums, staged[i].weight, columns_from<T, kColumns>(from, staged[i].offset));
      }
      __syncwarp();
    }
    if (place.inside) *reinterpret_cast<Columns<T, kColumns>*>(to) = sums;
  }
}

struct StagedOffsets {
  alignas(16) uint32_t offsets[kMostWarps][kWarp];
};

// Each share of the tiles sums into its own row of sums [shares, edges of the matrix].
template <typename T, int kColumns>
__global__ void __launch_bounds__(kMostThreads, 1)
    grad_edges(Edges<T> edges, const Range* ranges, Maps maps, int64_t shares,
               int64_t target_shares, int64_t sums_a_share, const T* source, const T* grad,
               T* sums) {
  auto* const staged = shared<StagedOffsets>().offsets[warp()];
  const int64_t share = blockIdx.x / target_shares;
  T* const of_share = sums + share * sums_a_share;
  const int64_t tiles = tiles_of<kColumns>(maps);
  const int64_t first_tile = share * tiles / shares;
  for (int64_t tile = first_tile; tile < (share + 1) * tiles / shares; ++tile) {
    const Place place = place_of<kColumns>(maps, tile);
    const T* const from = source + place.image * edges.num_sources * maps.places + place.column;
    EdgeStream<T, false> stream(edges, ranges, maps.places / kColumns, blockIdx.x % target_shares,
                                target_shares);
    for (; stream.has_target(); stream.next_target()) {
      const auto own = columns_at<T, kColumns>(
          grad + (place.image * edges.num_targets + stream.target()) * maps.places + place.column);
      for (bool more = true; more;) {
        staged[lane()] = stream.take(more).offset;
        __syncwarp();
        for (int first = 0; first < stream.count(); first += kTogether) {
          const auto several = read<kTogether>(&staged[first]);
          T summands[kTogether];
#pragma unroll
          for (int i = 0; i < kTogether; ++i) {
            const auto columns = columns_from<T, kColumns>(from, several.of[i]);
            summands[i] = own.of[0] * columns.of[0];
#pragma unroll
            for (int k = 1; k < kColumns; ++k) summands[i] += own.of[k] * columns.of[k];
            if (!place.inside) summands[i] = T{0};
          }
          const T sum = sum_of_edge(summands);
          constexpr int kLanes = kWarp / kTogether;  // that have a sum
          const int of_lane = first + lane() / kLanes;
          if (lane() % kLanes == 0 && of_lane < stream.count()) {
            T& total = of_share[stream.first_edge() + of_lane];
            total = tile == first_tile ? sum : total + sum;
          }
        }
        __syncwarp();
      }
    }
  }
}

// A warp has a target.
template <typename T>
__global__ void __launch_bounds__(kFewThreads)
    add_shares(Edges<T> edges, const Range* ranges, int64_t shares, int64_t sums_a_share,
               const T* sums, T* grad_values) {
  const int64_t target = static_cast<int64_t>(blockIdx.x) * warps() + warp();
  if (target >= edges.num_targets) return;
  const Range range = ranges[target];
  for (int64_t edge = range.begin + lane(); edge < range.end; edge += kWarp) {
    T sum = 0;
    for (int64_t share = 0; share < shares; ++share) sum += sums[share * sums_a_share + edge];
    grad_values[edge] = sum;
  }
}

// Calls run.operator()<columns a lane>(): the most that maps and addresses are aligned for.
template <typename T, typename Run, typename... Pointers>
void with_columns(const Maps& maps, int64_t num_sources, const Run& run, Pointers... pointers) {
  const auto check_offsets = [&](int64_t columns) {
    if (maps.places / columns <= UINT32_MAX / std::max<int64_t>(1, num_sources)) return;
    throw std::invalid_argument("CUDA: " + std::to_string(num_sources) + " maps of " +
                                std::to_string(maps.places) + " places");
  };
  const auto aligned = [&](int64_t columns) {
    const int64_t bytes = columns * int64_t{sizeof(T)};
    return maps.places % columns == 0 &&
           (... && (reinterpret_cast<uintptr_t>(pointers) % bytes == 0));
  };
  if constexpr (sizeof(T) == sizeof(float)) {
    if (aligned(4)) {
      check_offsets(4);
      return run.template operator()<4>();
    }
  }
  if (aligned(2)) {
    check_offsets(2);
    return run.template operator()<2>();
  }
  check_offsets(1);
  run.template operator()<1>();
}

// How many warps a block has; and in how many shares `blocks` blocks a share take the targets:
// enough for a large GPU to have work, and more where the sources' columns do not fit the first
// cache: what fewer tiles read at a time stays in the second one.
struct Division {
  int threads;
  int64_t shares;
};

template <typename T, int kColumns>
Division divide(const Edges<T>& edges, int64_t blocks) {
  const int64_t warps = std::clamp<int64_t>(edges.num_targets, 1, kMostWarps);
  const int64_t read = edges.num_sources * kWarp * kColumns * int64_t{sizeof(T)};
  return {static_cast<int>(warps * kWarp),
          std::clamp<int64_t>(std::max(kFewestBlocks / blocks, read / kFirstCache), 1,
                              blocks_of(edges.num_targets, warps))};
}

template <typename T>
const Range* ranges_of(const Edges<T>& edges, const Stream& stream) {
  auto* const ranges = static_cast<Range*>(stream.scratch(edges.num_targets * sizeof(Range)));
  launch(find_ranges<T>, blocks_of(edges.num_targets, kFewThreads), kFewThreads, 0, stream.handle,
         edges, ranges);
  return ranges;
}

}  // namespace

template <typename T>
void sparse_product(const Edges<T>& edges, const Maps& maps, const T* source, const T* bias,
                    bool accumulate, T* out, const Stream& stream) {
  const Range* const ranges = ranges_of(edges, stream);
  const auto run = [&]<int kColumns>() {
    const int64_t tiles = tiles_of<kColumns>(maps);
    const Division division = divide<T, kColumns>(edges, tiles);
    launch(multiply<T, kColumns>, tiles * division.shares, division.threads, sizeof(Staged<T>),
           stream.handle, edges, ranges, maps, division.shares, source, bias, accumulate, out);
  };
  with_columns<T>(maps, edges.num_sources, run, source, out);
}

template <typename T>
void sparse_product_grad_edges(const Edges<T>& edges, int64_t num_edges, const Maps& maps,
                               const T* source, const T* grad, T* grad_values,
                               const Stream& stream) {
  constexpr int64_t kMostSums = 1 << 24;
  const Range* const ranges = ranges_of(edges, stream);
  const auto run = [&]<int kColumns>() {
    const int64_t most =
        std::clamp<int64_t>(kMostSums / std::max<int64_t>(1, num_edges), 1, kFewestBlocks);
    const int64_t shares = std::min(tiles_of<kColumns>(maps), most);
    T* sums = grad_values;
    if (shares != 1) sums = static_cast<T*>(stream.scratch(shares * num_edges * sizeof(T)));
    if (shares > 0) {
      const Division division = divide<T, kColumns>(edges, shares);
      launch(grad_edges<T, kColumns>, shares * division.shares, division.threads,
             sizeof(StagedOffsets), stream.handle, edges, ranges, maps, shares, division.shares,
             num_edges, source, grad, sums);
    }
    if (shares == 1) return;
    launch(add_shares<T>, blocks_of(edges.num_targets, kFewThreads / kWarp), kFewThreads, 0,
           stream.handle, edges, ranges, shares, num_edges, sums, grad_values);
  };
  with_columns<T>(maps, edges.num_sources, run, source, grad);
}

template void sparse_product(const Edges<float>&, const Maps&, const float*, const float*, bool,
                             float*, const Stream&);
template void sparse_product(const Edges<double>&, const Maps&, const double*, const double*, bool,
                             double*, const Stream&);
template void sparse_product_grad_edges(const Edges<float>&, int64_t, const Maps&, const float*,
                                        const float*, float*, const Stream&);
template void sparse_product_grad_edges(const Edges<double>&, int64_t, const Maps&, const double*,
                                        const double*, double*, const Stream&);

}  // namespace rewire::kernels::cuda
