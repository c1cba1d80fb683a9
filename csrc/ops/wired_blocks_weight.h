// The gradient of the weights of wired_blocks.
#pragma once

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cpu/dense_product.h"
#include "kernels/cpu/sparse_product.h"
#include "ops/wired_blocks_steps.h"

namespace rewire::ops {

// Of all candidates, by dense products; where rows have rates and execution is sparse, of the edges
// apart. Each thread adds to a share of its own.
template <typename T>
class WeightGradient {
 public:
  // Of rows of `columns` numbers that are `stride` elements apart.
  WeightGradient(const BlocksCall& call, int64_t stride, int64_t columns, int64_t num_shares)
      : call_(call), stride_(stride), columns_(columns), rows_(rows_of(call)), shares_(num_shares) {
    if (call.gradient_rates && call.execution == Execution::kSparse) {
      edges_ = std::make_unique<BlockEdges<T>>(call, stride, Direction::kForward);
    }
    for (Share& share : shares_) {
      if (!rows_.empty()) share.candidates = at::zeros(call.weight.sizes(), call.weight.options());
      for (int64_t block = 0; edges_ && block < call.num_blocks(); ++block) {
        share.edges.emplace_back((*edges_)[block].edges.size());
      }
    }
  }

  // What a block sent, z [block's size, columns], times the gradient of where to.
  void add(int64_t share, int64_t index, const T* grad, const T* z) {
    if (edges_) {
      kernels::sparse_product_grad_edges((*edges_)[index], z, grad, stride_, columns_,
                                         shares_[share].edges[index].data());
    }
    const Block& block = call_.blocks[index];
    for (const auto& [first, last] : rows_) {
      const int64_t begin = std::max(first, block.target), count = last - begin;
      if (count <= 0) continue;
      const int64_t width = call_.weight.size(1);
      T* sums =
          shares_[share].candidates.template mutable_data_ptr<T>() + begin * width + block.column;
      kernels::add_product_transposed<T>({grad + (begin - block.target) * stride_, stride_},
                                         {z, stride_}, {sums, width}, count, block.size, columns_);
    }
  }

  // [channels, columns]: edges in use have all of their gradient, other candidates that times their
  // row's rate.
  at::Tensor total() const {
    at::Tensor weight = rows_.empty() ? at::zeros(call_.weight.sizes(), call_.weight.options())
                                      : shares_.front().candidates;
    for (size_t i = 1; i < shares_.size() && !rows_.empty(); ++i) {
      weight.add_(shares_[i].candidates);
    }
    if (!call_.gradient_rates) return weight;
    const Structure& s = *call_.structure;
    const at::Tensor values =
        edges_ ? edges_gradient() : edge_values(weight, s.row_offsets, s.columns);
    T* to = weight.template mutable_data_ptr<T>();
    const T* of = values.template const_data_ptr<T>();
    const T* rates = call_.gradient_rates->template const_data_ptr<T>();
    const int32_t *offsets = s.row_offsets.const_data_ptr<int32_t>(),
                  *columns = s.columns.const_data_ptr<int32_t>();
    for (int64_t row = 0; row < weight.size(0); ++row, to += weight.size(1)) {
      const T rate = rates[row];
      std::transform(to, to + weight.size(1), to, [rate](T x) { return rate == 0 ? 0 : rate * x; });
      for (int32_t e = offsets[row]; e < offsets[row + 1]; ++e) to[columns[e]] = of[e];
    }
    return weight;
  }

 private:
  struct Share {
    at::Tensor candidates;              // [channels, columns], 0 outside rows_
    std::vector<std::vector<T>> edges;  // of each block's stream
  };

  // The rows, from first to last, of which all candidates are summed: a dense execution does so for
  // every row, as one product.
  static std::vector<std::pair<int64_t, int64_t>> rows_of(const BlocksCall& call) {
    if (!call.gradient_rates || call.execution == Execution::kDense) return {{0, call.channels()}};
    const at::Tensor wanted = call.gradient_rates->ne(0);
    const bool* row = wanted.const_data_ptr<bool>();
    std::vector<std::pair<int64_t, int64_t>> rows;
    for (int64_t i = 0; i < call.channels(); ++i) {
      if (!row[i]) continue;
      if (rows.empty() || rows.back().second != i) rows.emplace_back(i, i);
      ++rows.back().second;
    }
    return rows;
  }

  at::Tensor edges_gradient() const {
    at::Tensor values = at::zeros({call_.structure->columns.numel()}, call_.weight.options());
    T* to = values.template mutable_data_ptr<T>();
    for (const Share& share : shares_) {
      for (int64_t block = 0; block < call_.num_blocks(); ++block) {
        const auto& positions = (*edges_)[block].positions;
        for (size_t i = 0; i < positions.size(); ++i) to[positions[i]] += share.edges[block][i];
      }
    }
    return values;
  }

  const BlocksCall& call_;
  const int64_t stride_, columns_;
  const std::vector<std::pair<int64_t, int64_t>> rows_;
  std::unique_ptr<BlockEdges<T>> edges_;
  std::vector<Share> shares_;
};

}  // namespace rewire::ops
