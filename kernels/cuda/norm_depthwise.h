// The channels of a wired block before its edges, on a device: normalisation, ReLU and a depthwise
// 3x3 convolution (padding 1, no bias).
//   a = (x - mean) * scale + bias,   scale = weight / sqrt(variance + eps)
//   y = max(a, 0),   z = depthwise(y)
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace rewire::kernels::cuda {

constexpr int kTaps = 9;

// Maps [channels, batch, height, width], a map's places side by side; distances in elements.
template <typename T>
struct DepthwiseMaps {
  T* data = nullptr;
  int64_t to_channel = 0;  // from one to the next
  int64_t to_image = 0;
};

// Whose mean and variance they are.
enum class Moments {
  kMap,     // of each map by itself
  kShared,  // of all maps of a channel
  kGiven,   // of nothing that is differentiated
};

template <typename T>
struct NormDepthwise {
  int64_t channels = 0;
  int64_t batch = 0;
  int64_t height = 0;  // of x; height * width fits 31 bits
  int64_t width = 0;
  int64_t step = 1;  // of the convolution: z has ceil(height / step) rows
  Moments moments = Moments::kMap;
  DepthwiseMaps<const T> x;
  const T* weight = nullptr;  // [channels] of the norm
  const T* bias = nullptr;    // [channels]
  const T* taps = nullptr;    // [channels, 9]
  T eps = 0;
  const T* mean = nullptr;  // [channels], of an image
  const T* variance = nullptr;
  int64_t to_moments = 0;  // from those of an image to those of the next
};

// z [channels, batch, ceil(height / step), ceil(width / step)]. Where `mean` and `variance` are not
// null, the moments of each map are written there, in the place of being read from the block.
template <typename T>
void norm_depthwise(const NormDepthwise<T>& block, T* mean, T* variance, T* z,
                    const Stream& stream);

// Sums over the maps of a channel, in `shares` parts: gradients of the norm's bias and weight, and
// of the taps.
constexpr int kDepthwiseSums = 2 + kTaps;
int64_t depthwise_shares(int64_t channels, int64_t batch);

// From the gradient of z, in its shape, to sums [channels, shares, 2 + taps]; where moments are not
// shared, to that of x too, which is added to what is there.
template <typename T>
void norm_depthwise_backward(const NormDepthwise<T>& block, const T* grad_z,
                             const DepthwiseMaps<T>& grad_x, T* sums, const Stream& stream);

// The gradient of x where moments are shared: `totals` [channels, 2 + taps] are the sums over the
// shares.
template <typename T>
void norm_depthwise_grad_input(const NormDepthwise<T>& block, const T* grad_z, const T* totals,
                               const DepthwiseMaps<T>& grad_x, const Stream& stream);

}  // namespace rewire::kernels::cuda
