// Steps that wired_blocks takes forward and backward.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/dense_product.h"
#include "kernels/cpu/norm_depthwise.h"
#include "kernels/cpu/sparse_product.h"
#include "ops/structure.h"
#include "ops/wired_blocks.h"

namespace rewire::ops {

enum class Direction { kForward, kBackward };

// The edges of every block: streams for rows `stride` apart, or, where the execution is dense, the
// matrix of the edges in use, by its target.
template <typename T>
class BlockEdges {
 public:
  BlockEdges(const BlocksCall& call, int64_t stride, Direction direction)
      : call_(call), direction_(direction) {
    if (call.execution == Execution::kDense) {
      dense_ = direction == Direction::kForward ? call.used() : call.used().t().contiguous();
      return;
    }
    streams_.resize(call.num_blocks());
    at::parallel_for(0, call.num_blocks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) streams_[i] = stream(call.blocks[i], stride);
    });
  }

  const kernels::EdgeStream<T>& operator[](int64_t block) const { return streams_[block]; }

  // Forward: target [rows that the block sends to] = or += edges * source [the block's rows];
  // backward the other way round.
  void multiply(int64_t index, const T* source, T* target, int64_t stride, int64_t num_columns,
                kernels::Start start) const {
    if (!streams_.empty()) {
      kernels::sparse_product(streams_[index], source, target, stride, num_columns, start);
      return;
    }
    const bool forward = direction_ == Direction::kForward;
    const Block& block = call_.blocks[index];
    const int64_t sent = call_.sent(block), width = dense_.size(1);
    const T* weight =
        dense_.template const_data_ptr<T>() +
        (forward ? block.target * width + block.column : block.column * width + block.target);
    const int64_t targets = forward ? sent : block.size, sources = forward ? block.size : sent;
    kernels::dense_product<T>({weight, width}, {source, stride}, {target, stride}, targets,
                              num_columns, sources, start);
  }

 private:
  kernels::EdgeStream<T> stream(const Block& block, int64_t stride) const {
    const bool forward = direction_ == Direction::kForward;
    kernels::Edges edges = call_.edges_of(block);
    if (!forward) {
      const kernels::Edges by_row = edges;
      edges = by_input(*call_.structure);
      edges.first_target = by_row.first_source;
      edges.num_targets = by_row.num_sources;
      edges.first_source = by_row.first_target;
      edges.num_sources = by_row.num_targets;
    }
    const T* weight = call_.weight.template const_data_ptr<T>();
    const int64_t width = call_.weight.size(1);
    const int bits = kernels::panel_bits(edges, stride);
    return kernels::stream_edges<T>(edges, stride, bits, [&](int64_t to, int64_t from, int64_t) {
      const int64_t row = (forward ? to : from) + block.target;
      return weight[row * width + (forward ? from : to) + block.column];
    });
  }

  const BlocksCall& call_;
  Direction direction_;
  at::Tensor dense_;
  std::vector<kernels::EdgeStream<T>> streams_;
};

// The normalisation of one image's channels in a block, in the rows `scale` and `shift` of
// [parameters].
template <typename T>
kernels::Norm<T> norm_of(const BlocksCall& call, const T* mean, const T* variance, int64_t image,
                         const Block& block, std::vector<T>& scale, std::vector<T>& shift) {
  if (call.statistics == Statistics::kInstance) {
    mean += image * call.parameters();
    variance += image * call.parameters();
  }
  const T* weight = call.norm_weight.const_data_ptr<T>();
  const T* bias = call.norm_bias.const_data_ptr<T>();
  const int64_t begin = block.parameter;
  for (int64_t c = begin; c < begin + block.size; ++c) {
    scale[c] = weight[c] / std::sqrt(variance[c] + T(call.eps));
    shift[c] = bias[c] - mean[c] * scale[c];
  }
  return {scale.data() + begin, shift.data() + begin, mean + begin};
}

}  // namespace rewire::ops
