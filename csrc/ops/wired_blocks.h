// wired_blocks: what its op hands to what computes it on a device.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "ops/product.h"
#include "ops/rewire.h"
#include "ops/structure.h"

namespace rewire::ops {

inline constexpr const char* kWiredBlocks = "wired_blocks";
inline constexpr const char* kWiredBlocksBackward = "wired_blocks_backward";

enum class Statistics { kInstance, kBatch, kGiven };

// The arguments that forward and backward share, as the op gets them.
struct BlocksArguments {
  const at::Tensor& weight;
  at::TensorList structure;
  const at::Tensor& depthwise;
  const at::Tensor& norm_weight;
  const at::Tensor& norm_bias;
  at::IntArrayRef ends;
  at::IntArrayRef targets;
  std::string_view norm;
  double eps;
  std::string_view gradient;
  std::string_view execution;
  const std::optional<at::Tensor>& gradient_rates;
  int64_t entry_stride;
};
// structure is none, or of the weight's edges.
void check_structures(const char* op, const at::Tensor& weight, at::TensorList structure);
void check_wired_blocks(const BlocksArguments& arguments, const at::Tensor& input,
                        const std::optional<at::Tensor>& mean,
                        const std::optional<at::Tensor>& variance);
void check_wired_blocks_backward(const BlocksArguments& arguments, const at::Tensor& grad_output,
                                 const at::Tensor& input);
// Channels that are normalised: of an entry's input, and of the blocks.
c10::SymInt num_parameters(const BlocksArguments& arguments, const c10::SymInt& in_channels);
std::vector<c10::SymInt> output_sizes(const BlocksArguments& arguments, const at::Tensor& input);

// Reads `size` channels of the state from `channel` on, or of the input; sends to all channels of
// the state from `target` on, by the weight's columns from `column` on. Its norm's and depthwise
// weights are those from `parameter` on.
struct Block {
  int64_t channel = 0;
  int64_t size = 0;
  int64_t target = 0;
  int64_t parameter = 0;
  int64_t column = 0;
};

// A call, with its tensors contiguous and of one dtype, float32 or float64.
struct BlocksCall {
  at::Tensor weight;                   // [channels, columns]
  std::optional<Structure> structure;  // none: every candidate is in use
  at::Tensor depthwise;                // [parameters, 9]
  at::Tensor norm_weight;              // [parameters]
  at::Tensor norm_bias;                // [parameters]
  std::vector<Block> blocks;           // one at least
  int64_t entry_stride = 0;            // 0, or the first block is an entry: it reads the input
  Statistics statistics = Statistics::kInstance;
  std::string group;  // of processes whose images are one batch with those here; empty: none
  double eps = 0;
  Execution execution = Execution::kSparse;
  // [channels]: of the gradient of candidates that are not in use; none: all of it
  std::optional<at::Tensor> gradient_rates;
  bool edges_alone = false;  // all rates are 0: no other candidate has a gradient
  bool keep_state = true;    // for backward

  int64_t num_blocks() const { return static_cast<int64_t>(blocks.size()); }
  int64_t channels() const { return weight.size(0); }
  int64_t parameters() const { return norm_weight.size(0); }
  int64_t outputs() const { return channels() - blocks.back().target; }
  int64_t sent(const Block& block) const { return channels() - block.target; }
  int64_t largest_block() const;
  bool is_entry(int64_t block) const { return block == 0 && entry_stride > 0; }
  // The candidates in use, 0 in the place of others, [channels, columns].
  at::Tensor used() const;
  // What a block has of a matrix [channels, columns].
  at::Tensor part_of(const Block& block, const at::Tensor& matrix) const {
    return matrix.narrow(0, block.target, sent(block)).narrow(1, block.column, block.size);
  }
  // Of the state for backward: none of an entry alone.
  int64_t kept_channels() const {
    return keep_state && !is_entry(num_blocks() - 1) ? channels() : 0;
  }
  // Of the structure: by output, targets are the channels that a block sends to.
  kernels::Edges edges_of(const Block& block) const {
    kernels::Edges edges = by_output(*structure);
    edges.first_target = block.target;
    edges.num_targets = sent(block);
    edges.first_source = block.column;
    edges.num_sources = block.size;
    return edges;
  }
};

// Checked arguments, in the dtype that is summed in. The edges are trusted, and the execution is
// dense until a device has resolved it.
BlocksCall call_of(const BlocksArguments& arguments, int64_t in_channels);

// The side of a map behind a convolution of that stride: side / stride, rounded up.
template <typename Int>
Int strided(const Int& side, int64_t stride) {
  return side == 0 ? side : (side - 1) / stride + 1;
}

// How the state lies in memory: in chunks of images, a chunk's channels are rows of `stride`
// columns, which hold the places of one image after another, and zeros.
struct StateLayout {
  int64_t batch = 0;
  int64_t height = 0;
  int64_t width = 0;
  int64_t images = 0;  // of a chunk
  int64_t stride = 0;
  int64_t chunks = 0;

  // Of the state of a call with that input.
  StateLayout(const BlocksCall& call, const at::Tensor& input);
  StateLayout(int64_t batch, int64_t height, int64_t width);
  int64_t places() const { return height * width; }
  int64_t images_of(int64_t chunk) const { return std::min(images, batch - chunk * images); }
};

// Whether a call has nothing to compute. Where its batch is that of several processes, those with
// images wait for what one without them adds up.
inline bool is_empty(const BlocksCall& call, const StateLayout& layout) {
  return layout.places() == 0 || (layout.batch == 0 && call.group.empty());
}

// output [batch, outputs, height, width], mean and variance (of statistics that are not given),
// state.
struct BlocksOutput {
  at::Tensor output;
  at::Tensor mean;
  at::Tensor variance;
  at::Tensor state;
};

struct BlocksGradients {
  at::Tensor input;
  at::Tensor weight;
  at::Tensor depthwise;
  at::Tensor norm_weight;
  at::Tensor norm_bias;
};

// Shapes of the statistics that a call takes, and of its results where there is no image or place.
std::vector<int64_t> moments_of(const BlocksCall& call, int64_t batch);
BlocksOutput empty_output(const BlocksCall& call, const at::Tensor& input);
BlocksGradients zero_gradients(const BlocksCall& call, const at::Tensor& input,
                               const at::Tensor& grad_output);

// What differs between devices.
struct BlocksOnCpu {
  // Checks the edges, where there are any, and sets the execution.
  static void resolve(const char* op, std::string_view execution, BlocksCall& call);
  // Not of what is_empty. mean, variance: given statistics, else undefined.
  static BlocksOutput forward(const BlocksCall& call, const at::Tensor& input,
                              const at::Tensor& mean, const at::Tensor& variance);
  // input: of an entry, else its sizes alone are read.
  static BlocksGradients backward(const BlocksCall& call, const at::Tensor& grad_output,
                                  const at::Tensor& input, const at::Tensor& mean,
                                  const at::Tensor& variance, const at::Tensor& state);
};

}  // namespace rewire::ops
