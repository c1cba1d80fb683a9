// The activations of neurons and their slopes, for CUDA, and for vectors of each instruction set.
//
// M is the arithmetic: M::V is what it computes with, and it has set(double), add, sub, mul, div,
// exp, expm1, log1p, tanh, erf, abs, max and choose_positive(s, a, b), which is a where s > 0 or s
// is NaN, else b.
#if defined(REWIRE_NEURON_ACTIVATIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REWIRE_NEURON_ACTIVATIONS_INL_H_
#undef REWIRE_NEURON_ACTIVATIONS_INL_H_
#else
#define REWIRE_NEURON_ACTIVATIONS_INL_H_
#endif

#include "kernels/neuron_activations.h"

#undef REWIRE_FORMULA
#ifdef HWY_NAMESPACE
#define REWIRE_FORMULA HWY_INLINE
HWY_BEFORE_NAMESPACE();
namespace rewire::kernels::HWY_NAMESPACE {
#else
#define REWIRE_FORMULA __device__ inline
namespace rewire::kernels::cuda {
#endif

template <typename M>
struct Activated {
  typename M::V value, slope;
};

// value = scale (s if s > 0, else alpha (exp(s) - 1)) and its slope.
template <typename M>
REWIRE_FORMULA Activated<M> exponential_unit(M m, typename M::V s, double scale, double alpha) {
  const auto below = m.mul(m.set(scale * alpha), m.expm1(s));
  return {m.choose_positive(s, m.mul(m.set(scale), s), below),
          m.choose_positive(s, m.set(scale), m.add(below, m.set(scale * alpha)))};
}

template <typename M>
REWIRE_FORMULA typename M::V sigmoid(M m, typename M::V s) {
  return m.div(m.set(1), m.add(m.set(1), m.exp(m.sub(m.set(0), s))));
}

// s = the neuron's sum.
template <typename M>
REWIRE_FORMULA Activated<M> activated(M m, Activation activation, typename M::V s) {
  const auto one = m.set(1);
  switch (activation) {
    case Activation::kRelu:
      return {m.choose_positive(s, s, m.set(0)), m.choose_positive(s, one, m.set(0))};
    case Activation::kSelu:
      return exponential_unit(m, s, 1.0507009873554805, 1.6732632423543772);
    case Activation::kLeakyRelu:
      return {m.choose_positive(s, s, m.mul(m.set(0.01), s)),
              m.choose_positive(s, one, m.set(0.01))};
    case Activation::kSigmoid: {
      const auto y = sigmoid(m, s);
      return {y, m.mul(y, m.sub(one, y))};
    }
    case Activation::kTanh: {
      const auto y = m.tanh(s);
      return {y, m.sub(one, m.mul(y, y))};
    }
    case Activation::kSilu: {
      const auto y = sigmoid(m, s);
      return {m.mul(s, y), m.mul(y, m.add(one, m.mul(s, m.sub(one, y))))};
    }
    case Activation::kGeluTanh: {  // s/2 (1 + tanh(c (s + a s^3))), c = sqrt(2 / pi)
      constexpr double kC = 0.7978845608028654, kA = 0.044715;
      const auto square = m.mul(s, s);
      const auto t = m.tanh(m.mul(m.mul(m.set(kC), s), m.add(one, m.mul(m.set(kA), square))));
      const auto half = m.mul(m.set(0.5), m.add(one, t));
      const auto inner = m.mul(m.set(0.5 * kC), m.add(one, m.mul(m.set(3 * kA), square)));
      return {m.mul(s, half), m.add(half, m.mul(m.mul(s, m.sub(one, m.mul(t, t))), inner))};
    }
    case Activation::kGelu: {  // s Phi(s): the normal distribution's
      const auto half = m.set(0.5);
      const auto phi = m.mul(half, m.add(one, m.erf(m.mul(m.set(0.7071067811865476), s))));
      const auto density = m.mul(m.set(0.3989422804014327), m.exp(m.mul(m.set(-0.5), m.mul(s, s))));
      return {m.mul(s, phi), m.add(phi, m.mul(s, density))};
    }
    case Activation::kElu:
      return exponential_unit(m, s, 1, 1);
    case Activation::kSoftplus: {  // log(1 + exp(s)), without overflow
      const auto rest = m.log1p(m.exp(m.sub(m.set(0), m.abs(s))));
      return {m.add(m.max(s, m.set(0)), rest), sigmoid(m, s)};
    }
    default:
      return {s, one};
  }
}

}  // namespace rewire::kernels
#ifdef HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // REWIRE_NEURON_ACTIVATIONS_INL_H_, once a target
