// A vector holds samples. A neuron's sums stay in up to four vectors while its edges are gone
// through: each edge is one weight for all lanes and a load from its source's row.
#include "kernels/cpu/neuron_graph.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/neuron_graph.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "kernels/cpu/sums-inl.h"
#include "kernels/cpu/transpose-inl.h"
#include "kernels/neuron_activations-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rewire::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most kLanes, so that a tile is made of whole vectors.
template <typename T>
using Lanes = hn::CappedTag<T, kLanes>;

template <typename D>
struct Math {
  using V = hn::Vec<D>;
  D d;

  HWY_INLINE V set(double x) const { return hn::Set(d, static_cast<hn::TFromD<D>>(x)); }
  HWY_INLINE V add(V a, V b) const { return hn::Add(a, b); }
  HWY_INLINE V sub(V a, V b) const { return hn::Sub(a, b); }
  HWY_INLINE V mul(V a, V b) const { return hn::Mul(a, b); }
  HWY_INLINE V div(V a, V b) const { return hn::Div(a, b); }
  HWY_INLINE V abs(V a) const { return hn::Abs(a); }
  HWY_INLINE V max(V a, V b) const { return hn::IfThenElse(hn::Lt(a, b), b, a); }
  HWY_INLINE V choose_positive(V s, V a, V b) const {
    return hn::IfThenElse(hn::Le(s, hn::Zero(d)), b, a);
  }
  HWY_INLINE V exp(V a) const { return with_nan(a, hn::Exp(d, a)); }
  HWY_INLINE V expm1(V a) const { return with_nan(a, hn::Expm1(d, a)); }
  HWY_INLINE V log1p(V a) const { return with_nan(a, hn::Log1p(d, a)); }
  HWY_INLINE V tanh(V a) const { return with_nan(a, hn::Tanh(d, a)); }
  HWY_INLINE V erf(V a) const {
    HWY_ALIGN hn::TFromD<D> numbers[hn::MaxLanes(D())];
    hn::Store(a, d, numbers);
    for (size_t i = 0; i < hn::Lanes(d); ++i) numbers[i] = std::erf(numbers[i]);
    return hn::Load(d, numbers);
  }

 private:
  // Highway's functions do not say what they make of NaN.
  HWY_INLINE V with_nan(V a, V result) const { return hn::IfThenElse(hn::Eq(a, a), result, a); }
};

// Calls f(first lane, std::integral_constant of how many) for the vectors of a row, at most four at
// a time.
template <typename D, typename F>
HWY_INLINE void for_vectors(D d, int64_t lanes, F&& f) {
  const int64_t width = hn::Lanes(d);
  int64_t lane = 0;
  for (; lane + 4 * width <= lanes; lane += 4 * width) f(lane, std::integral_constant<int, 4>());
  if (lane + 2 * width <= lanes) {
    f(lane, std::integral_constant<int, 2>());
    lane += 2 * width;
  }
  if (lane < lanes) f(lane, std::integral_constant<int, 1>());
}

template <typename D, int kVectors>
struct Vectors {
  hn::Vec<D> of[kVectors];
};

// sum + the edges [begin, end), from lanes of `rows` on, which has `lanes` in each row.
template <typename D, int kVectors, typename T>
HWY_INLINE Vectors<D, kVectors> add_edges(D d, Vectors<D, kVectors> sum,
                                          const WeightedEdges<T>& edges, int64_t begin, int64_t end,
                                          const T* rows, int64_t lanes) {
  const int64_t width = hn::Lanes(d);
  const auto add = [&](int64_t e, auto& to) HWY_ATTR {
    const T* const row = rows + edges.ends[e] * lanes;
    const auto weight = hn::Set(d, edges.weights[e]);
    for (int i = 0; i < kVectors; ++i) {
      to.of[i] = hn::MulAdd(weight, hn::LoadU(d, row + i * width), to.of[i]);
    }
  };
  if constexpr (kVectors < 4) {  // two sums: one would wait for itself
    Vectors<D, kVectors> other;
    for (auto& vector : other.of) vector = hn::Zero(d);
    int64_t e = begin;
    for (; e + 2 <= end; e += 2) {
      add(e, sum);
      add(e + 1, other);
    }
    if (e < end) add(e, sum);
    for (int i = 0; i < kVectors; ++i) sum.of[i] = hn::Add(sum.of[i], other.of[i]);
  } else {
    for (int64_t e = begin; e < end; ++e) add(e, sum);
  }
  return sum;
}

// 1 where kept, else 0.
template <typename D>
HWY_INLINE hn::Vec<D> load_keep(D d, const bool* keep) {
  HWY_ALIGN hn::TFromD<D> numbers[hn::MaxLanes(D())];
  for (size_t i = 0; i < hn::Lanes(d); ++i) numbers[i] = keep[i];
  return hn::Load(d, numbers);
}

template <typename T>
struct Tape {
  const bool* keep;
  T* values;
  T* slopes;

  Tape at(int64_t place) const {
    return {keep ? keep + place : nullptr, values + place, slopes ? slopes + place : nullptr};
  }
};

template <typename D, typename T>
HWY_INLINE void write(D d, const Tape<T>& to, Activated<Math<D>> result) {
  if (to.keep) {
    const auto keep = load_keep(d, to.keep);
    result = {hn::Mul(result.value, keep), hn::Mul(result.slope, keep)};
  }
  hn::StoreU(result.value, d, to.values);
  if (to.slopes) hn::StoreU(result.slope, d, to.slopes);
}

// Turns the sums in the values of neighbouring neurons [begin, end) into their softmax.
template <typename T>
void softmax(int64_t begin, int64_t end, int64_t lanes, const Tape<T>& tape) {
  const Lanes<T> d;
  const Math<Lanes<T>> m{d};
  const int64_t width = hn::Lanes(d);
  for (int64_t lane = 0; lane < lanes; lane += width) {
    T* const sums = tape.values + lane;
    auto largest = hn::LoadU(d, sums + begin * lanes);
    for (int64_t v = begin + 1; v < end; ++v) {
      largest = m.max(largest, hn::LoadU(d, sums + v * lanes));
    }
    auto total = hn::Zero(d);
    for (int64_t v = begin; v < end; ++v) {
      const auto power = m.exp(hn::Sub(hn::LoadU(d, sums + v * lanes), largest));
      total = hn::Add(total, power);
      hn::StoreU(power, d, sums + v * lanes);
    }
    for (int64_t v = begin; v < end; ++v) {
      const auto value = hn::Div(hn::LoadU(d, sums + v * lanes), total);
      write(d, tape.at(v * lanes + lane), Activated<Math<Lanes<T>>>{value, value});
      if (tape.slopes) hn::StoreU(value, d, tape.slopes + v * lanes + lane);
    }
  }
}

// Calls f(begin, end) for each run of softmax neurons in a level.
template <typename F>
HWY_INLINE void for_each_softmax(const NeuronLevels& levels, int64_t begin, int64_t end, F&& f) {
  constexpr auto kSoftmax = static_cast<int32_t>(Activation::kSoftmax);
  for (int64_t v = begin; v < end; ++v) {
    if (levels.activations[v] != kSoftmax) continue;
    const int64_t first = v;
    while (v + 1 < end && levels.activations[v + 1] == kSoftmax) ++v;
    f(first, v + 1);
  }
}

template <typename T>
void forward(const NeuronLevels& levels, const WeightedEdges<T>& edges, const T* biases,
             const NeuronTile& tile, const bool* keep, T* values, T* slopes) {
  const Lanes<T> d;
  const Math<Lanes<T>> m{d};
  const int64_t lanes = tile.lanes, width = hn::Lanes(d);
  const Tape<T> tape{keep, values, slopes};
  const int64_t num_inputs = levels.level_offsets[1];
  for (int64_t place = 0; place < num_inputs * lanes; place += width) {
    write(d, tape.at(place),
          Activated<Math<Lanes<T>>>{hn::LoadU(d, values + place), hn::Set(d, T{1})});
  }
  int64_t begin = num_inputs;
  for (int64_t level = 1; begin < levels.num_neurons; ++level) {
    const int64_t end = levels.level_offsets[level + 1];
    for (int64_t v = begin; v < end; ++v) {
      const auto activation = static_cast<Activation>(levels.activations[v]);
      const auto bias = hn::Set(d, biases[v]);
      for_vectors(d, lanes, [&](int64_t lane, auto count) HWY_ATTR {
        Vectors<Lanes<T>, count> sum;
        for (auto& vector : sum.of) vector = bias;
        sum =
            add_edges(d, sum, edges, edges.offsets[v], edges.offsets[v + 1], values + lane, lanes);
        for (int i = 0; i < count; ++i) {
          const int64_t place = v * lanes + lane + i * width;
          if (activation == Activation::kSoftmax) {
            hn::StoreU(sum.of[i], d, values + place);
          } else {
            write(d, tape.at(place), activated(m, activation, sum.of[i]));
          }
        }
      });
    }
    for_each_softmax(levels, begin, end,
                     [&](int64_t first, int64_t last) { softmax(first, last, lanes, tape); });
    begin = end;
  }
}

// gradients[v] of the values of neighbouring softmax neurons to those of their sums.
//   grad_sum_i = h_i (keep_i grad_i - sum_j h_j keep_j grad_j), values = h keep, slopes = h
template <typename T>
void softmax_backward(int64_t begin, int64_t end, int64_t lanes, const T* values, const T* slopes,
                      T* gradients) {
  const Lanes<T> d;
  const int64_t width = hn::Lanes(d);
  for (int64_t lane = 0; lane < lanes; lane += width) {
    auto total = hn::Zero(d);
    for (int64_t place = begin * lanes + lane; place < end * lanes; place += lanes) {
      total = hn::MulAdd(hn::LoadU(d, values + place), hn::LoadU(d, gradients + place), total);
    }
    for (int64_t place = begin * lanes + lane; place < end * lanes; place += lanes) {
      const auto own = hn::Mul(hn::LoadU(d, values + place), hn::LoadU(d, gradients + place));
      hn::StoreU(hn::NegMulAdd(hn::LoadU(d, slopes + place), total, own), d, gradients + place);
    }
  }
}

template <typename T>
void backward(const NeuronLevels& levels, const WeightedEdges<T>& edges, const NeuronTile& tile,
              const T* values, const T* slopes, T* gradients, bool to_inputs) {
  const Lanes<T> d;
  const int64_t lanes = tile.lanes, width = hn::Lanes(d);
  int64_t level = 0;
  while (levels.level_offsets[level + 1] < levels.num_neurons) ++level;
  for (; level >= (to_inputs ? 0 : 1); --level) {
    const int64_t begin = levels.level_offsets[level], end = levels.level_offsets[level + 1];
    for (int64_t v = end - 1; v >= begin; --v) {
      const bool softmax =
          level > 0 && levels.activations[v] == static_cast<int32_t>(Activation::kSoftmax);
      for_vectors(d, lanes, [&](int64_t lane, auto count) HWY_ATTR {
        Vectors<Lanes<T>, count> sum;
        for (int i = 0; i < count; ++i) {
          sum.of[i] = hn::LoadU(d, gradients + v * lanes + lane + i * width);
        }
        sum = add_edges(d, sum, edges, edges.offsets[v], edges.offsets[v + 1], gradients + lane,
                        lanes);
        for (int i = 0; i < count; ++i) {
          const int64_t place = v * lanes + lane + i * width;
          const auto grad = sum.of[i];
          hn::StoreU(softmax ? grad : hn::Mul(grad, hn::LoadU(d, slopes + place)), d,
                     gradients + place);
        }
      });
    }
    if (level == 0) return;
    for_each_softmax(levels, begin, end, [&](int64_t first, int64_t last) {
      softmax_backward(first, last, lanes, values, slopes, gradients);
    });
  }
}

// One row of gradients and four of values at a time.
template <typename T>
void grad_weights(const int32_t* offsets, const int32_t* sources, int64_t begin, int64_t end,
                  const NeuronTile& tile, const T* values, const T* gradients, T* grad_weights,
                  T* grad_biases) {
  const Lanes<T> d;
  const int64_t lanes = tile.lanes, width = hn::Lanes(d);
  for (int64_t v = begin; v < end; ++v) {
    const T* const grad = gradients + v * lanes;
    auto total = hn::Zero(d);
    for (int64_t lane = 0; lane < lanes; lane += width) {
      total = hn::Add(total, hn::LoadU(d, grad + lane));
    }
    grad_biases[v] += hn::GetLane(hn::SumOfLanes(d, total));
    int64_t e = offsets[v];
    for (; e + 4 <= offsets[v + 1]; e += 4) {
      const T* const row0 = values + sources[e] * lanes;
      const T* const row1 = values + sources[e + 1] * lanes;
      const T* const row2 = values + sources[e + 2] * lanes;
      const T* const row3 = values + sources[e + 3] * lanes;
      auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d), sum3 = hn::Zero(d);
      for (int64_t lane = 0; lane < lanes; lane += width) {
        const auto g = hn::LoadU(d, grad + lane);
        sum0 = hn::MulAdd(g, hn::LoadU(d, row0 + lane), sum0);
        sum1 = hn::MulAdd(g, hn::LoadU(d, row1 + lane), sum1);
        sum2 = hn::MulAdd(g, hn::LoadU(d, row2 + lane), sum2);
        sum3 = hn::MulAdd(g, hn::LoadU(d, row3 + lane), sum3);
      }
      add_sums(d, sum0, sum1, sum2, sum3, grad_weights + e);
    }
    for (; e < offsets[v + 1]; ++e) {
      const T* const row = values + sources[e] * lanes;
      auto sum = hn::Zero(d);
      for (int64_t lane = 0; lane < lanes; lane += width) {
        sum = hn::MulAdd(hn::LoadU(d, grad + lane), hn::LoadU(d, row + lane), sum);
      }
      grad_weights[e] += hn::GetLane(hn::SumOfLanes(d, sum));
    }
  }
}

template <typename T>
void load(const T* in, int64_t stride, int64_t count, const NeuronTile& tile, T* rows) {
  transpose(in + tile.first * stride, stride, tile.samples, count, rows, tile.lanes);
  for (int64_t i = 0; i < count && tile.samples < tile.lanes; ++i) {
    T* const row = rows + i * tile.lanes;
    std::fill(row + tile.samples, row + tile.lanes, row[tile.samples - 1]);
  }
}

template <typename T>
void store(const T* values, const int32_t* neurons, int64_t count, const NeuronTile& tile,
           T* scratch, T* out) {
  for (int64_t i = 0; i < count && neurons; ++i) {
    std::copy_n(values + neurons[i] * tile.lanes, tile.lanes, scratch + i * tile.lanes);
  }
  transpose(neurons ? scratch : values, tile.lanes, count, tile.samples, out + tile.first * count,
            count);
}

template <typename T>
constexpr NeuronKernels<T> kKernels = {load, store, forward, backward, grad_weights};

const NeuronKernels<float>& kernels32() { return kKernels<float>; }
const NeuronKernels<double>& kernels64() { return kKernels<double>; }

}  // namespace rewire::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rewire::kernels {

HWY_EXPORT(kernels32);
HWY_EXPORT(kernels64);

template <>
const NeuronKernels<float>& neuron_kernels() {
  return HWY_DYNAMIC_DISPATCH(kernels32)();
}

template <>
const NeuronKernels<double>& neuron_kernels() {
  return HWY_DYNAMIC_DISPATCH(kernels64)();
}

}  // namespace rewire::kernels
#endif  // HWY_ONCE
