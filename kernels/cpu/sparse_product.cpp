// A unit of work is one target's row of up to 64 columns, held in registers while its edges pass
// by: an edge costs one broadcast, and for each vector of columns one multiply-add with an operand
// in the first cache. The last vector of a row may overlap the one before: what it counts twice is
// left out by a mask.
#include "kernels/cpu/sparse_product.h"

#include <algorithm>
#include <utility>

#include <hwy/cache_control.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sparse_product.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rewire::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Accumulators of a row: four vectors of 512 bits, and as many registers again for operands; eight
// of the smaller ones.
template <typename D>
constexpr int most_vectors() {
  return hn::MaxLanes(D()) * sizeof(hn::TFromD<D>) >= 64 ? 4 : 8;
}

// Where the vectors of a tile of columns lie. Only the last may overlap the one before it.
template <typename D>
struct Tile {
  int64_t first;
  int64_t last;  // column of the last vector
  bool overlaps;
  hn::Mask<D> last_is_new;  // its lanes that no vector before it has

  template <int kVectors>
  int64_t column(int vector) const {
    return vector == kVectors - 1 ? last : first + vector * int64_t(hn::Lanes(D()));
  }
};

// Calls f(tile, integral_constant<int, vectors>) for tiles of about equal width that cover the
// columns.
template <typename D, typename F>
HWY_INLINE void for_each_tile(D d, int64_t num_columns, F&& f) {
  const int64_t lanes = hn::Lanes(d);
  const int64_t vectors = (num_columns + lanes - 1) / lanes;
  const int64_t tiles = (vectors + most_vectors<D>() - 1) / most_vectors<D>();
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t begin = vectors * i / tiles, end = vectors * (i + 1) / tiles;
    Tile<D> tile{begin * lanes, std::min((end - 1) * lanes, num_columns - lanes), false, {}};
    const int64_t overlap = (end - 1) * lanes - tile.last;
    tile.overlaps = overlap > 0;
    tile.last_is_new = hn::Not(hn::FirstN(d, overlap));
    switch (end - begin) {
      case 1:
        f(tile, std::integral_constant<int, 1>());
        break;
      case 2:
        f(tile, std::integral_constant<int, 2>());
        break;
      case 3:
        f(tile, std::integral_constant<int, 3>());
        break;
      case 4:
        f(tile, std::integral_constant<int, 4>());
        break;
      case 5:
        f(tile, std::integral_constant<int, 5>());
        break;
      case 6:
        f(tile, std::integral_constant<int, 6>());
        break;
      case 7:
        f(tile, std::integral_constant<int, 7>());
        break;
      default:
        f(tile, std::integral_constant<int, 8>());
        break;
    }
  }
}

// Calls f(target, its first edge in a panel, the end of these, the panel's first row, the panel).
template <typename T, typename F>
HWY_INLINE void for_each_row(const EdgeStream<T>& stream, const T* source, F&& f) {
  const uint32_t* start = stream.starts.data();
  for (int64_t first = 0; first < stream.num_targets; first += kBlockTargets) {
    const int64_t last = std::min(stream.num_targets, first + kBlockTargets);
    for (int64_t panel = 0; panel < stream.num_panels; ++panel) {
      const T* panel_source = source + panel * stream.panel_stride;
      for (int64_t target = first; target < last; ++target, ++start) {
        if (panel == 0 || start[0] != start[1]) f(target, start[0], start[1], panel_source, panel);
      }
    }
  }
}

// kTraffic: minds `traffic`. Registers are scarce, and most loops do without.
template <typename T, int kVectors, bool kTraffic, typename D>
HWY_INLINE void product_tile(D d, const EdgeStream<T>& stream, const T* HWY_RESTRICT source,
                             T* HWY_RESTRICT target, int64_t target_stride, const Tile<D>& tile,
                             Start start, const T* bias, Traffic<T> traffic) {
  using V = hn::Vec<D>;
  const int64_t lanes = hn::Lanes(d);
  const StreamEdge<T>* edges = stream.edges.data();
  const bool past_caches = kTraffic && traffic.past_caches && stream.num_panels == 1;
  // What is fetched, in whole cache lines, shared by the rows of all panels.
  constexpr int64_t kLine = 64 / sizeof(T);
  const int64_t rows = std::max<int64_t>(1, stream.num_panels * stream.num_targets);
  const int64_t size = std::max(stream.num_sources, stream.num_targets) * target_stride;
  const int64_t share = ((size - 1) / (rows * kLine) + 1) * kLine;
  for_each_row(
      stream, source,
      [&](int64_t t, uint32_t begin, uint32_t end, const T* panel_source, int64_t panel) HWY_ATTR {
        if constexpr (kTraffic) {
          constexpr int kRead = 0, kWritten = 1, kSecondCache = 2;
          if (traffic.next_source) {
            for (int64_t i = 0; i < share; i += kLine) {
              __builtin_prefetch(traffic.next_source + i, kRead, kSecondCache);
            }
            traffic.next_source += share;
          }
          if (traffic.next_target) {
            for (int64_t i = 0; i < share; i += kLine) {
              __builtin_prefetch(traffic.next_target + i, kWritten, kSecondCache);
            }
            traffic.next_target += share;
          }
        }
        const bool adds = panel > 0 || start == Start::kTarget;
        T* out = target + t * target_stride;
        V sums[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          sums[v] = adds ? hn::LoadU(d, out + tile.template column<kVectors>(v))
                         : hn::Set(d, start == Start::kBias ? bias[t] : T{0});
        }
        const T* const first_vector = panel_source + tile.first;
        const T* const last_vector = panel_source + tile.last;
        const StreamEdge<T>* last = edges + end;
        for (const StreamEdge<T>* edge = edges + begin; edge != last; ++edge) {
          const V weight = hn::Set(d, edge->weight);
          const T* from = first_vector + edge->offset;
          for (int v = 0; v < kVectors - 1; ++v) {
            sums[v] = hn::MulAdd(weight, hn::LoadU(d, from + v * lanes), sums[v]);
          }
          sums[kVectors - 1] =
              hn::MulAdd(weight, hn::LoadU(d, last_vector + edge->offset), sums[kVectors - 1]);
        }
        if (kTraffic && past_caches) {
          for (int v = 0; v < kVectors; ++v) {
            hn::Stream(sums[v], d, out + tile.template column<kVectors>(v));
          }
          return;
        }
        for (int v = 0; v < kVectors - 1; ++v) {
          hn::StoreU(sums[v], d, out + tile.template column<kVectors>(v));
        }
        if (tile.overlaps) {
          hn::BlendedStore(sums[kVectors - 1], tile.last_is_new, d, out + tile.last);
        } else {
          hn::StoreU(sums[kVectors - 1], d, out + tile.last);
        }
      });
}

template <typename T>
void product(const EdgeStream<T>& stream, const T* source, T* target, int64_t target_stride,
             int64_t num_columns, Start start, const T* bias, const Traffic<T>& traffic) {
  using D = hn::ScalableTag<T>;
  const D d;
  const int64_t lanes = hn::Lanes(d);
  const bool side_by_side = stream.source_stride == num_columns && target_stride == num_columns;
  const bool minds_traffic = traffic.next_source || traffic.next_target || traffic.past_caches;
  const bool is_aligned = reinterpret_cast<uintptr_t>(target) % (lanes * sizeof(T)) == 0;
  if (minds_traffic && side_by_side && is_aligned && num_columns == most_vectors<D>() * lanes) {
    const Tile<D> tile{0, num_columns - lanes, false, {}};
    product_tile<T, most_vectors<D>(), true>(d, stream, source, target, target_stride, tile, start,
                                             bias, traffic);
    if (traffic.past_caches) hwy::FlushStream();
    return;
  }
  for_each_tile(d, num_columns, [&](const auto& tile, auto vectors) HWY_ATTR {
    product_tile<T, vectors(), false>(d, stream, source, target, target_stride, tile, start, bias,
                                      {});
  });
}

template <typename T, int kVectors, typename D>
HWY_INLINE void grad_tile(D d, const EdgeStream<T>& stream, const T* HWY_RESTRICT source,
                          const T* HWY_RESTRICT grad, int64_t grad_stride, const Tile<D>& tile,
                          T* HWY_RESTRICT sums) {
  using V = hn::Vec<D>;
  const StreamEdge<T>* edges = stream.edges.data();
  for_each_row(
      stream, source,
      [&](int64_t t, uint32_t e, uint32_t end, const T* panel_source, int64_t) HWY_ATTR {
        V own[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          own[v] = hn::LoadU(d, grad + t * grad_stride + tile.template column<kVectors>(v));
        }
        own[kVectors - 1] = hn::IfThenElseZero(tile.last_is_new, own[kVectors - 1]);
        const auto product_with = [&](uint32_t edge) HWY_ATTR {
          const T* from = panel_source + edges[edge].offset;
          V sum = hn::Mul(own[0], hn::LoadU(d, from + tile.template column<kVectors>(0)));
          for (int v = 1; v < kVectors; ++v) {
            sum = hn::MulAdd(own[v], hn::LoadU(d, from + tile.template column<kVectors>(v)), sum);
          }
          return sum;
        };
        for (; e + 4 <= end; e += 4) {
          add_sums(d, product_with(e), product_with(e + 1), product_with(e + 2),
                   product_with(e + 3), sums + e);
        }
        for (; e < end; ++e) sums[e] += hn::GetLane(hn::SumOfLanes(d, product_with(e)));
      });
}

template <typename T>
void grad_edges(const EdgeStream<T>& stream, const T* source, const T* grad, int64_t grad_stride,
                int64_t num_columns, T* sums) {
  const hn::ScalableTag<T> d;
  for_each_tile(d, num_columns, [&](const auto& tile, auto vectors) HWY_ATTR {
    grad_tile<T, vectors()>(d, stream, source, grad, grad_stride, tile, sums);
  });
}

void product32(const EdgeStream<float>& stream, const float* source, float* target,
               int64_t target_stride, int64_t num_columns, Start start, const float* bias,
               const Traffic<float>& traffic) {
  product(stream, source, target, target_stride, num_columns, start, bias, traffic);
}

void product64(const EdgeStream<double>& stream, const double* source, double* target,
               int64_t target_stride, int64_t num_columns, Start start, const double* bias,
               const Traffic<double>& traffic) {
  product(stream, source, target, target_stride, num_columns, start, bias, traffic);
}

void grad_edges32(const EdgeStream<float>& stream, const float* source, const float* grad,
                  int64_t grad_stride, int64_t num_columns, float* sums) {
  grad_edges(stream, source, grad, grad_stride, num_columns, sums);
}

void grad_edges64(const EdgeStream<double>& stream, const double* source, const double* grad,
                  int64_t grad_stride, int64_t num_columns, double* sums) {
  grad_edges(stream, source, grad, grad_stride, num_columns, sums);
}

}  // namespace rewire::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rewire::kernels {

HWY_EXPORT(product32);
HWY_EXPORT(product64);
HWY_EXPORT(grad_edges32);
HWY_EXPORT(grad_edges64);

template <>
void sparse_product(const EdgeStream<float>& stream, const float* source, float* target,
                    int64_t target_stride, int64_t num_columns, Start start, const float* bias,
                    const Traffic<float>& traffic) {
  HWY_DYNAMIC_DISPATCH(product32)
  (stream, source, target, target_stride, num_columns, start, bias, traffic);
}

template <>
void sparse_product(const EdgeStream<double>& stream, const double* source, double* target,
                    int64_t target_stride, int64_t num_columns, Start start, const double* bias,
                    const Traffic<double>& traffic) {
  HWY_DYNAMIC_DISPATCH(product64)
  (stream, source, target, target_stride, num_columns, start, bias, traffic);
}

template <>
void sparse_product_grad_edges(const EdgeStream<float>& stream, const float* source,
                               const float* grad, int64_t grad_stride, int64_t num_columns,
                               float* sums) {
  HWY_DYNAMIC_DISPATCH(grad_edges32)(stream, source, grad, grad_stride, num_columns, sums);
}

template <>
void sparse_product_grad_edges(const EdgeStream<double>& stream, const double* source,
                               const double* grad, int64_t grad_stride, int64_t num_columns,
                               double* sums) {
  HWY_DYNAMIC_DISPATCH(grad_edges64)(stream, source, grad, grad_stride, num_columns, sums);
}

}  // namespace rewire::kernels
#endif  // HWY_ONCE
