// Steps that wired_blocks takes forward and backward.
#pragma once

#include <ATen/ops/from_blob.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/norm_depthwise.h"
#include "kernels/cpu/sparse_product.h"
#include "ops/structure.h"
#include "ops/wired_blocks.h"

namespace rewire::ops {

inline int64_t largest_block(const BlocksCall& call) {
  int64_t largest = 0;
  for (int64_t i = 0; i < call.num_blocks(); ++i) largest = std::max(largest, call.size(i));
  return largest;
}

// `count` rows of a buffer, `stride` elements apart, as a matrix.
template <typename T>
at::Tensor rows_of(const T* data, int64_t count, int64_t num_columns, int64_t stride) {
  return at::from_blob(const_cast<T*>(data), {count, num_columns}, {stride, 1},
                       at::dtype(c10::CppTypeToScalarType<T>::value));
}

enum class Direction { kForward, kBackward };

// The edges of every block: streams for rows `stride` apart, or, where the execution is dense, the
// matrix of the edges in use.
template <typename T>
class BlockEdges {
 public:
  BlockEdges(const BlocksCall& call, int64_t stride, Direction direction)
      : call_(call), direction_(direction) {
    if (call.execution == Execution::kDense) {
      const at::Tensor weight = call.weight;
      dense_ = call.structure
                   ? edge_matrix(
                         edge_values(weight, call.structure->row_offsets, call.structure->columns),
                         call.structure->row_offsets, call.structure->columns, weight.size(1))
                   : weight;
      return;
    }
    streams_.resize(call.num_blocks());
    at::parallel_for(0, call.num_blocks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) streams_[i] = stream(i, stride);
    });
  }

  const kernels::EdgeStream<T>& operator[](int64_t block) const { return streams_[block]; }

  // Forward: target [rows from targets[block] on] += edges * source [the block's own rows];
  // backward the other way round, in the place of what is there.
  void add(int64_t block, const T* source, T* target, int64_t stride, int64_t num_columns) const {
    const bool forward = direction_ == Direction::kForward;
    if (!streams_.empty()) {
      kernels::sparse_product(streams_[block], source, target, stride, num_columns,
                              forward ? kernels::Start::kTarget : kernels::Start::kZero);
      return;
    }
    const int64_t sent = call_.channels() - call_.targets[block], own = call_.size(block);
    const at::Tensor weight =
        dense_.narrow(0, call_.targets[block], sent).narrow(1, call_.column(block), own);
    at::Tensor to = rows_of(target, forward ? sent : own, num_columns, stride);
    const at::Tensor from = rows_of(source, forward ? own : sent, num_columns, stride);
    to.addmm_(forward ? weight : weight.t(), from, forward ? 1 : 0);
  }

 private:
  kernels::EdgeStream<T> stream(int64_t block, int64_t stride) const {
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
    const int64_t target = call_.targets[block], column = call_.column(block);
    const T* weight = call_.weight.template const_data_ptr<T>();
    const int64_t width = call_.weight.size(1);
    const int bits = kernels::panel_bits(edges, stride);
    return kernels::stream_edges<T>(edges, stride, bits, [&](int64_t to, int64_t from, int64_t) {
      const int64_t row = (forward ? to : from) + target;
      return weight[row * width + (forward ? from : to) + column];
    });
  }

  const BlocksCall& call_;
  Direction direction_;
  at::Tensor dense_;
  std::vector<kernels::EdgeStream<T>> streams_;
};

// The normalisation of one image's channels in a block, in the rows `scale` and `shift` of [own].
template <typename T>
kernels::Norm<T> norm_of(const BlocksCall& call, const T* mean, const T* variance, int64_t image,
                         int64_t block, std::vector<T>& scale, std::vector<T>& shift) {
  if (call.statistics == Statistics::kInstance) {
    mean += image * call.own();
    variance += image * call.own();
  }
  const T* weight = call.norm_weight.const_data_ptr<T>();
  const T* bias = call.norm_bias.const_data_ptr<T>();
  const int64_t begin = call.begin(block);
  for (int64_t c = begin; c < call.ends[block]; ++c) {
    scale[c] = weight[c] / std::sqrt(variance[c] + T(call.eps));
    shift[c] = bias[c] - mean[c] * scale[c];
  }
  return {scale.data() + begin, shift.data() + begin, mean + begin};
}

}  // namespace rewire::ops
