// wired_blocks on the CPU: what its op hands to the loops over images and blocks.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "ops/product.h"
#include "ops/rewire.h"
#include "ops/structure.h"

namespace rewire::ops {

enum class Statistics { kInstance, kBatch, kGiven };

// A call, with its tensors contiguous and of one dtype, float32 or float64.
struct BlocksCall {
  at::Tensor weight;                   // [channels, columns]
  std::optional<Structure> structure;  // none: every candidate is in use
  at::Tensor depthwise;                // [own, 9]
  at::Tensor norm_weight;              // [own]
  at::Tensor norm_bias;                // [own]
  std::vector<int64_t> ends;           // block i sends channels [ends[i - 1], ends[i])
  std::vector<int64_t> targets;        // to channels from targets[i] on
  Statistics statistics = Statistics::kInstance;
  double eps = 0;
  Execution execution = Execution::kSparse;

  int64_t num_blocks() const { return static_cast<int64_t>(ends.size()); }
  int64_t channels() const { return weight.size(0); }
  int64_t own() const { return ends.back(); }
  int64_t begin(int64_t block) const { return block == 0 ? 0 : ends[block - 1]; }
  int64_t size(int64_t block) const { return ends[block] - begin(block); }
  int64_t outputs() const { return channels() - targets.back(); }
  // Of the structure: by output, targets are the channels from targets[block] on.
  kernels::Edges edges_of(int64_t block) const {
    kernels::Edges edges = by_output(*structure);
    edges.first_target = targets[block];
    edges.num_targets = channels() - targets[block];
    edges.first_source = column(block);
    edges.num_sources = size(block);
    return edges;
  }
  // Column of the weight that belongs to the first channel of a block.
  int64_t column(int64_t block) const { return weight.size(1) - own() + begin(block); }
};

// How the state lies in memory: in chunks of images, a chunk's channels are rows of `stride`
// columns, which hold the places of one image after another, and zeros.
struct StateLayout {
  int64_t batch = 0;
  int64_t height = 0;
  int64_t width = 0;
  int64_t images = 0;  // of a chunk
  int64_t stride = 0;
  int64_t chunks = 0;

  StateLayout(int64_t batch, int64_t height, int64_t width);
  int64_t places() const { return height * width; }
  int64_t images_of(int64_t chunk) const { return std::min(images, batch - chunk * images); }
};

// output [batch, outputs, height, width], mean and variance (of statistics that are not given),
// state.
struct BlocksOutput {
  at::Tensor output;
  at::Tensor mean;
  at::Tensor variance;
  at::Tensor state;
};
// mean, variance: given statistics, else undefined.
BlocksOutput wired_blocks_forward(const BlocksCall& call, const at::Tensor& input,
                                  const at::Tensor& mean, const at::Tensor& variance);

struct BlocksGradients {
  at::Tensor input;
  at::Tensor weight;
  at::Tensor depthwise;
  at::Tensor norm_weight;
  at::Tensor norm_bias;
};
BlocksGradients wired_blocks_gradients(const BlocksCall& call, const at::Tensor& grad_output,
                                       int64_t in_channels, const at::Tensor& mean,
                                       const at::Tensor& variance, const at::Tensor& state,
                                       std::string_view gradient);

}  // namespace rewire::ops
