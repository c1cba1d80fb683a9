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

// Where a source's columns begin; the host has seen that places fit 32 bits.
__device__ inline int64_t row(int32_t source, const Maps& maps) {
  return static_cast<int64_t>(source) * static_cast<int32_t>(maps.places);
}

// A warp's targets, one after the other, of the block's share of them; and of each its edges, up to
// 32 at a time, an edge a lane. What a lane has next is asked for while the warp works on what it
// has.
template <typename T, bool kWeights>
class EdgeStream {
 public:
  struct alignas(2 * sizeof(T)) Edge {
    int32_t source;
    T weight;
  };

  __device__ EdgeStream(const Edges<T>& edges, const Range* ranges, int64_t share, int64_t shares)
      : edges_(edges), ranges_(ranges), target_(share * warps() + warp()), step_(shares * warps()) {
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
    ahead_.source = edges_.sources[edge] - static_cast<int32_t>(edges_.first_source);
    if (kWeights) ahead_.weight = edges_.values[edges_.order ? edges_.order[edge] : edge];
  }

  const Edges<T>& edges_;
  const Range* const ranges_;
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
  EdgeStream<T, true> stream(edges, ranges, blockIdx.x % shares, shares);
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
      for (int i = 0; i < stream.count(); i += kUnrolled) {
        const auto several = read<kUnrolled>(&staged[i]);
        Columns<T, kColumns> columns[kUnrolled];
#pragma unroll
        for (int j = 0; j < kUnrolled; ++j) {
          if (i + j >= stream.count()) continue;  // all lanes alike
          columns[j] = columns_at<T, kColumns>(from + row(several.of[j].source, maps));
        }
#pragma unroll
        for (int j = 0; j < kUnrolled; ++j) {
          if (i + j >= stream.count()) continue;
          const T weight = several.of[j].weight;
#pragma unroll
          for (int k = 0; k < kColumns; ++k) sums.of[k] += weight * columns[j].of[k];
        }
      }
      __syncwarp();
    }
    if (place.inside) *reinterpret_cast<Columns<T, kColumns>*>(to) = sums;
  }
}

constexpr int kTogether = 8;  // edges whose sums over the lanes are taken at once

// From each lane's summands, one an edge, to the sum over all lanes of edge lane() / 4: lanes that
// differ in a bit exchange those halves of their summands that the other's edge is in.
template <typename T>
__device__ T sum_of_edge(T (&summands)[kTogether]) {
  int half = kTogether / 2;
#pragma unroll
  for (int step = kWarp / 2; step > 2; step /= 2) {
    const bool upper = (lane() & step) != 0;
#pragma unroll
    for (int j = 0; j < kTogether / 2; ++j) {
      if (j >= half) continue;
      const T kept = upper ? summands[j + half] : summands[j];
      const T sent = upper ? summands[j] : summands[j + half];
      summands[j] = kept + __shfl_xor_sync(kAllLanes, sent, step);
    }
    half /= 2;
  }
  const T sum = summands[0] + __shfl_xor_sync(kAllLanes, summands[0], 2);
  return sum + __shfl_xor_sync(kAllLanes, sum, 1);
}

struct StagedSources {
  alignas(16) int32_t sources[kMostWarps][kWarp];
};

// Each share of the tiles sums into its own row of sums [shares, edges of the matrix].
template <typename T, int kColumns>
__global__ void __launch_bounds__(kMostThreads, 1)
    grad_edges(Edges<T> edges, const Range* ranges, Maps maps, int64_t shares,
               int64_t target_shares, int64_t sums_a_share, const T* source, const T* grad,
               T* sums) {
  auto* const staged = shared<StagedSources>().sources[warp()];
  const int64_t share = blockIdx.x / target_shares;
  T* const of_share = sums + share * sums_a_share;
  const int64_t tiles = tiles_of<kColumns>(maps);
  const int64_t first_tile = share * tiles / shares;
  for (int64_t tile = first_tile; tile < (share + 1) * tiles / shares; ++tile) {
    const Place place = place_of<kColumns>(maps, tile);
    const T* const from = source + place.image * edges.num_sources * maps.places + place.column;
    EdgeStream<T, false> stream(edges, ranges, blockIdx.x % target_shares, target_shares);
    for (; stream.has_target(); stream.next_target()) {
      const auto own = columns_at<T, kColumns>(
          grad + (place.image * edges.num_targets + stream.target()) * maps.places + place.column);
      for (bool more = true; more;) {
        staged[lane()] = stream.take(more).source;
        __syncwarp();
        for (int first = 0; first < stream.count(); first += kTogether) {
          const auto several = read<kTogether>(&staged[first]);
          T summands[kTogether];
#pragma unroll
          for (int i = 0; i < kTogether; ++i) {
            const auto columns = columns_at<T, kColumns>(from + row(several.of[i], maps));
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
void with_columns(const Maps& maps, const Run& run, Pointers... pointers) {
  if (maps.places > INT32_MAX) {
    throw std::invalid_argument("CUDA: maps of " + std::to_string(maps.places) + " places");
  }
  const auto aligned = [&](int64_t columns) {
    const int64_t bytes = columns * int64_t{sizeof(T)};
    return maps.places % columns == 0 &&
           (... && (reinterpret_cast<uintptr_t>(pointers) % bytes == 0));
  };
  if constexpr (sizeof(T) == sizeof(float)) {
    if (aligned(4)) return run.template operator()<4>();
  }
  if (aligned(2)) return run.template operator()<2>();
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
  with_columns<T>(maps, run, source, out);
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
             sizeof(StagedSources), stream.handle, edges, ranges, maps, shares, division.shares,
             num_edges, source, grad, sums);
    }
    if (shares == 1) return;
    launch(add_shares<T>, blocks_of(edges.num_targets, kFewThreads / kWarp), kFewThreads, 0,
           stream.handle, edges, ranges, shares, num_edges, sums, grad_values);
  };
  with_columns<T>(maps, run, source, grad);
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
