// A warp has a map, its lanes the places. What neighbours have is read again, from the first cache,
// and normalised again: that is cheaper than to hand it round. Backward, a warp has one map of a
// channel after another, and keeps their sums.
#include "kernels/cuda/norm_depthwise.h"

#include <algorithm>
#include <cmath>

#include "kernels/cuda/block.cuh"

namespace rewire::kernels::cuda {
namespace {

constexpr int kMapThreads = 256;

// What a map is normalised by.
template <typename T>
struct MapNorm {
  T mean;
  T inverse;  // 1 / sqrt(variance + eps)
  T scale;
  T shift;

  __device__ T normed(T x) const { return x * scale + shift; }
  __device__ T rectified(T x) const {
    const T a = normed(x);
    return a < 0 ? T{0} : a;  // NaN stays NaN
  }
  __device__ T standardised(T x) const { return (x - mean) * inverse; }
};

// A channel of an image.
template <typename T>
struct OwnMap {
  int width, height, places;
  int out_width, out_height, out_places;
  int step;
  const T* x;
  T taps[kTaps];
  MapNorm<T> norm;

  __device__ OwnMap(const NormDepthwise<T>& block, int64_t channel)
      : width(block.width),
        height(block.height),
        places(width * height),
        out_width((width - 1) / static_cast<int>(block.step) + 1),
        out_height((height - 1) / static_cast<int>(block.step) + 1),
        out_places(out_width * out_height),
        step(block.step) {
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap) taps[tap] = block.taps[channel * kTaps + tap];
  }

  __device__ void read(const NormDepthwise<T>& block, int64_t channel, int64_t image) {
    x = block.x.data + channel * block.x.to_channel + image * block.x.to_image;
  }
  __device__ void normalise(const NormDepthwise<T>& block, int64_t channel, T mean, T variance) {
    norm.mean = mean;
    norm.inverse = T{1} / std::sqrt(variance + block.eps);
    norm.scale = block.weight[channel] * norm.inverse;
    norm.shift = block.bias[channel] - mean * norm.scale;
  }
  __device__ void normalise(const NormDepthwise<T>& block, int64_t channel, int64_t image) {
    const int64_t own = image * block.to_moments + channel;
    normalise(block, channel, block.mean[own], block.variance[own]);
  }

  // y at a place, 0 beyond the map.
  __device__ T rectified(int row, int column) const {
    if (row < 0 || row >= height || column < 0 || column >= width) return 0;
    return norm.rectified(x[row * width + column]);
  }
  // The gradient of a at a place from that of z, of this map.
  __device__ T grad_normed(int place, const T* grad_z) const {
    if (norm.normed(x[place]) <= 0) return 0;
    const int row = place / width, column = place - row * width;
    T sum = 0;
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap) {
      const int down = row + 1 - tap / 3, right = column + 1 - tap % 3;  // in x, of z's place
      if (down < 0 || right < 0 || down % step != 0 || right % step != 0) continue;
      const int out_row = down / step, out_column = right / step;
      if (out_row >= out_height || out_column >= out_width) continue;
      sum += taps[tap] * grad_z[out_row * out_width + out_column];
    }
    return sum;
  }
};

// Mean and variance of a map, the same on all lanes.
template <typename T>
__device__ void find_moments(const OwnMap<T>& map, T& mean, T& variance) {
  T sum = 0;
  for (int place = lane(); place < map.places; place += kWarp) sum += map.x[place];
  mean = warp_sum(sum) / static_cast<T>(map.places);
  T squares = 0;
  for (int place = lane(); place < map.places; place += kWarp) {
    const T difference = map.x[place] - mean;
    squares += difference * difference;
  }
  variance = warp_sum(squares) / static_cast<T>(map.places);
}

template <typename T>
__global__ void __launch_bounds__(kMapThreads)
    forward_maps(NormDepthwise<T> block, T* mean, T* variance, T* z) {
  const int64_t number = static_cast<int64_t>(blockIdx.x) * warps() + warp();
  if (number >= block.channels * block.batch) return;
  const int64_t channel = number / block.batch, image = number - channel * block.batch;
  OwnMap<T> map(block, channel);
  map.read(block, channel, image);
  if (mean == nullptr) {
    map.normalise(block, channel, image);
  } else {
    T own_mean, own_variance;
    find_moments(map, own_mean, own_variance);
    map.normalise(block, channel, own_mean, own_variance);
    if (lane() == 0) {
      mean[image * block.to_moments + channel] = own_mean;
      variance[image * block.to_moments + channel] = own_variance;
    }
  }
  T* const out = z + number * map.out_places;
  for (int place = lane(); place < map.out_places; place += kWarp) {
    const int row = place / map.out_width * map.step, column = place % map.out_width * map.step;
    T sum = 0;
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap) {
      sum += map.taps[tap] * map.rectified(row + tap / 3 - 1, column + tap % 3 - 1);
    }
    out[place] = sum;
  }
}

// The sums over a map of the gradient of a, and of that times (x - mean) / sqrt(variance + eps).
template <typename T>
struct GradSums {
  T of_normed;
  T of_standardised;
};

// Adds to the gradient of x. `sums`, over `count` places; none where the moments are given:
//   scale (da - (sum of da + xhat sum of da xhat) / count)
template <typename T>
__device__ void add_grad_x(const OwnMap<T>& map, const T* grad_z, const GradSums<T>& sums, T count,
                           T* grad_x) {
  const T mean = sums.of_normed / count, slope = sums.of_standardised / count;
  for (int place = lane(); place < map.places; place += kWarp) {
    const T grad = map.grad_normed(place, grad_z);
    const T standardised = map.norm.standardised(map.x[place]);
    grad_x[place] += map.norm.scale * (grad - (mean + standardised * slope));
  }
}

template <typename T>
__global__ void __launch_bounds__(kMapThreads)
    backward_maps(NormDepthwise<T> block, const T* grad_z, DepthwiseMaps<T> grad_x, int64_t shares,
                  T* sums) {
  const int64_t number = static_cast<int64_t>(blockIdx.x) * warps() + warp();
  if (number >= block.channels * shares) return;
  const int64_t channel = number / shares, share = number - channel * shares;
  OwnMap<T> map(block, channel);
  GradSums<T> total = {0, 0};
  T of_taps[kTaps] = {};
  for (int64_t image = share * block.batch / shares; image < (share + 1) * block.batch / shares;
       ++image) {
    map.read(block, channel, image);
    map.normalise(block, channel, image);
    const T* const grad = grad_z + (channel * block.batch + image) * map.out_places;
    GradSums<T> own = {0, 0};
    for (int place = lane(); place < map.places; place += kWarp) {
      const T of_normed = map.grad_normed(place, grad);
      own.of_normed += of_normed;
      own.of_standardised += of_normed * map.norm.standardised(map.x[place]);
    }
    for (int place = lane(); place < map.out_places; place += kWarp) {
      const int row = place / map.out_width * map.step, column = place % map.out_width * map.step;
#pragma unroll
      for (int tap = 0; tap < kTaps; ++tap) {
        of_taps[tap] += grad[place] * map.rectified(row + tap / 3 - 1, column + tap % 3 - 1);
      }
    }
    total.of_normed += own.of_normed;
    total.of_standardised += own.of_standardised;
    if (block.moments == Moments::kShared) continue;
    if (block.moments == Moments::kMap) {
      own = {warp_sum(own.of_normed), warp_sum(own.of_standardised)};
    } else {
      own = {0, 0};
    }
    add_grad_x(map, grad, own, static_cast<T>(map.places),
               grad_x.data + channel * grad_x.to_channel + image * grad_x.to_image);
  }
  T* const out = sums + number * kDepthwiseSums;
  const T bias = warp_sum(total.of_normed), weight = warp_sum(total.of_standardised);
  if (lane() == 0) {
    out[0] = bias;
    out[1] = weight;
  }
#pragma unroll
  for (int tap = 0; tap < kTaps; ++tap) {
    const T sum = warp_sum(of_taps[tap]);
    if (lane() == 0) out[2 + tap] = sum;
  }
}

template <typename T>
__global__ void __launch_bounds__(kMapThreads)
    grad_inputs(NormDepthwise<T> block, const T* grad_z, const T* totals, DepthwiseMaps<T> grad_x) {
  const int64_t number = static_cast<int64_t>(blockIdx.x) * warps() + warp();
  if (number >= block.channels * block.batch) return;
  const int64_t channel = number / block.batch, image = number - channel * block.batch;
  OwnMap<T> map(block, channel);
  map.read(block, channel, image);
  map.normalise(block, channel, image);
  const T* const of_channel = totals + channel * kDepthwiseSums;
  add_grad_x(map, grad_z + number * map.out_places, {of_channel[0], of_channel[1]},
             static_cast<T>(block.batch) * static_cast<T>(map.places),
             grad_x.data + channel * grad_x.to_channel + image * grad_x.to_image);
}

constexpr int64_t blocks_of_warps(int64_t count) { return blocks_of(count, kMapThreads / kWarp); }

}  // namespace

// Enough for a large GPU to have work.
int64_t depthwise_shares(int64_t channels, int64_t batch) {
  constexpr int64_t kWanted = 8192;
  return std::clamp<int64_t>(kWanted / std::max<int64_t>(1, channels), 1,
                             std::max<int64_t>(1, batch));
}

template <typename T>
void norm_depthwise(const NormDepthwise<T>& block, T* mean, T* variance, T* z,
                    const Stream& stream) {
  launch(forward_maps<T>, blocks_of_warps(block.channels * block.batch), kMapThreads, 0,
         stream.handle, block, mean, variance, z);
}

template <typename T>
void norm_depthwise_backward(const NormDepthwise<T>& block, const T* grad_z,
                             const DepthwiseMaps<T>& grad_x, T* sums, const Stream& stream) {
  const int64_t shares = depthwise_shares(block.channels, block.batch);
  launch(backward_maps<T>, blocks_of_warps(block.channels * shares), kMapThreads, 0, stream.handle,
         block, grad_z, grad_x, shares, sums);
}

template <typename T>
void norm_depthwise_grad_input(const NormDepthwise<T>& block, const T* grad_z, const T* totals,
                               const DepthwiseMaps<T>& grad_x, const Stream& stream) {
  launch(grad_inputs<T>, blocks_of_warps(block.channels * block.batch), kMapThreads, 0,
         stream.handle, block, grad_z, totals, grad_x);
}

#define REWIRE_INSTANTIATE(T)                                                          \
  template void norm_depthwise(const NormDepthwise<T>&, T*, T*, T*, const Stream&);    \
  template void norm_depthwise_backward(const NormDepthwise<T>&, const T*,             \
                                        const DepthwiseMaps<T>&, T*, const Stream&);   \
  template void norm_depthwise_grad_input(const NormDepthwise<T>&, const T*, const T*, \
                                          const DepthwiseMaps<T>&, const Stream&);
REWIRE_INSTANTIATE(float)
REWIRE_INSTANTIATE(double)
#undef REWIRE_INSTANTIATE

}  // namespace rewire::kernels::cuda
