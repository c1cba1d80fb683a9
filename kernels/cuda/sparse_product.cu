// A warp has one target and some columns of one image: a lane holds its columns' sums while the
// edges pass by, 32 at a time, which the lanes read side by side and hand round. Warps next to each
// other have targets next to each other, of the same columns: what they read lies in the second
// cache.
#include "kernels/cuda/sparse_product.h"

#include "kernels/cuda/block.cuh"

namespace rewire::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kColumnsALane = 4;
constexpr int64_t kColumns = kColumnsALane * kWarp;  // of a warp
constexpr int kEdgesAWarp = 4;  // whose gradients share the reading of a target

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

// The edges of a target in the rectangle.
template <typename T>
__device__ Range edges_of(const Edges<T>& edges, int64_t target) {
  const int32_t* const of_target = edges.offsets + edges.first_target + target;
  const int32_t begin = first_from(edges.sources, of_target[0], of_target[1], edges.first_source);
  return {begin,
          first_from(edges.sources, begin, of_target[1], edges.first_source + edges.num_sources)};
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    multiply(Edges<T> edges, Maps maps, const T* source, const T* bias, bool accumulate, T* out) {
  const int64_t tiles = (maps.places + kColumns - 1) / kColumns;
  const int64_t work = static_cast<int64_t>(blockIdx.x) * kWarps + warp();
  if (work >= maps.batch * tiles * edges.num_targets) return;  // a whole warp
  const int64_t target = work % edges.num_targets;
  const int64_t tile = work / edges.num_targets % tiles;
  const int64_t image = work / edges.num_targets / tiles;
  const int64_t first = tile * kColumns + lane();

  T* const to = out + (image * edges.num_targets + target) * maps.places;
  T sums[kColumnsALane];
  for (int j = 0; j < kColumnsALane; ++j) {
    const int64_t column = first + j * kWarp;
    sums[j] = bias ? bias[target] : T{0};
    if (accumulate && column < maps.places) sums[j] = to[column];
  }
  const T* const maps_of_image = source + image * edges.num_sources * maps.places;
  const Range range = edges_of(edges, target);
  for (int32_t begin = range.begin; begin < range.end; begin += kWarp) {
    const int32_t edge = begin + lane();
    const bool is_edge = edge < range.end;
    const int64_t own_source = is_edge ? edges.sources[edge] - edges.first_source : 0;
    const T own_weight = is_edge ? edges.values[edges.order ? edges.order[edge] : edge] : T{0};
    const int count = min(kWarp, static_cast<int>(range.end - begin));
    for (int i = 0; i < count; ++i) {
      const T weight = __shfl_sync(kAllLanes, own_weight, i);
      const T* const row = maps_of_image + __shfl_sync(kAllLanes, own_source, i) * maps.places;
      for (int j = 0; j < kColumnsALane; ++j) {
        const int64_t column = first + j * kWarp;
        if (column < maps.places) sums[j] += weight * row[column];
      }
    }
  }
  for (int j = 0; j < kColumnsALane; ++j) {
    const int64_t column = first + j * kWarp;
    if (column < maps.places) to[column] = sums[j];
  }
}

// A block has a target, a warp some of its edges at a time.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    grad_edges(Edges<T> edges, Maps maps, const T* source, const T* grad, T* grad_values) {
  for (int64_t target = blockIdx.x; target < edges.num_targets; target += gridDim.x) {
    const Range range = edges_of(edges, target);
    for (int32_t begin = range.begin + warp() * kEdgesAWarp; begin < range.end;
         begin += kWarps * kEdgesAWarp) {
      T sums[kEdgesAWarp] = {};
      int64_t places_before[kEdgesAWarp];  // of an edge's source, in an image
      for (int i = 0; i < kEdgesAWarp; ++i) {
        const int64_t of_edge = edges.sources[min(begin + i, range.end - 1)] - edges.first_source;
        places_before[i] = of_edge * maps.places;
      }
      for (int64_t image = 0; image < maps.batch; ++image) {
        const T* const of_target = grad + (image * edges.num_targets + target) * maps.places;
        const T* const of_image = source + image * edges.num_sources * maps.places;
        for (int64_t column = lane(); column < maps.places; column += kWarp) {
          const T own = of_target[column];
          for (int i = 0; i < kEdgesAWarp; ++i) {
            sums[i] += own * of_image[places_before[i] + column];
          }
        }
      }
      for (int i = 0; i < kEdgesAWarp; ++i) {
        const T sum = warp_sum(sums[i]);
        if (lane() == 0 && begin + i < range.end) grad_values[begin + i] = sum;
      }
    }
  }
}

}  // namespace

template <typename T>
void sparse_product(const Edges<T>& edges, const Maps& maps, const T* source, const T* bias,
                    bool accumulate, T* out, const Stream& stream) {
  const int64_t tiles = (maps.places + kColumns - 1) / kColumns;
  const int64_t warps = maps.batch * tiles * edges.num_targets;
  launch(multiply<T>, (warps + kWarps - 1) / kWarps, kThreads, 0, stream.handle, edges, maps,
         source, bias, accumulate, out);
}

template <typename T>
void sparse_product_grad_edges(const Edges<T>& edges, const Maps& maps, const T* source,
                               const T* grad, T* grad_values, const Stream& stream) {
  constexpr int64_t kMostBlocks = 1 << 16;
  launch(grad_edges<T>, edges.num_targets < kMostBlocks ? edges.num_targets : kMostBlocks, kThreads,
         0, stream.handle, edges, maps, source, grad, grad_values);
}

template void sparse_product(const Edges<float>&, const Maps&, const float*, const float*, bool,
                             float*, const Stream&);
template void sparse_product(const Edges<double>&, const Maps&, const double*, const double*, bool,
                             double*, const Stream&);
template void sparse_product_grad_edges(const Edges<float>&, const Maps&, const float*,
                                        const float*, float*, const Stream&);
template void sparse_product_grad_edges(const Edges<double>&, const Maps&, const double*,
                                        const double*, double*, const Stream&);

}  // namespace rewire::kernels::cuda
