// The sparse product on the CPU, backward: both gradients in one pass over the batch.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "ops/sparse_columns.h"
#include "ops/structure.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using kernels::EdgeStream;
using kernels::kTile;

// The gradient of the edges' values and, if it is asked for, of the input, in one pass over the
// batch: what both read of a tile is still in the second cache. The columns are summed in shares,
// whose number does not depend on that of the threads.
template <typename T>
class ProductBackward {
 public:
  ProductBackward(const Tensor& grad, const Tensor& input, const Tensor& values,
                  const Structure& structure, bool to_input)
      : columns_{input.size(0), input.size(2)},
        grad_(grad),
        input_(input),
        sources_(input.size(1)),
        targets_(grad.size(1)),
        num_edges_(structure.columns.numel()) {
    add_blocks(by_output(structure));
    if (!to_input) return;
    transpose_ = weighted_edges<T>(by_input(structure), values,
                                   structure.order.const_data_ptr<int32_t>(), stride());
    grad_input_ = at::empty_like(input);
    past_caches_ = exceed_caches(grad, grad_input_);
  }

  ProductGradients run() {
    const int64_t tiles = columns_.tiles(sizeof(T)), shares = num_shares();
    const Tensor sums = at::empty({shares, num_edges_}, input_.options());
    T* of_share = sums.mutable_data_ptr<T>();
    at::parallel_for(0, shares, 1, [&](int64_t first, int64_t last) {
      const Rows rows(*this);
      for (int64_t share = first; share < last; ++share) {
        const int64_t begin = tiles * share / shares, end = tiles * (share + 1) / shares;
        std::fill_n(of_share + share * num_edges_, num_edges_, T{0});
        if (columns_.direct(sizeof(T))) {
          in_place(begin, end, of_share + share * num_edges_);
        } else {
          in_rows(begin, end, rows, of_share + share * num_edges_);
        }
      }
    });
    return {grad_input_, add_up(of_share, shares)};
  }

 private:
  // Room for a tile of maps that are not read where they lie.
  struct Rows {
    Tensor grad, input;
    explicit Rows(const ProductBackward& of) {
      if (of.columns_.direct(sizeof(T))) return;
      grad = scratch<T>(of.grad_, of.targets_);
      input = scratch<T>(of.grad_, of.sources_);
    }
  };

  // Outputs whose edges, with their sums, and rows of a tile stay in the second cache.
  struct Block {
    int64_t first_target;
    int64_t first_edge;  // in the sums
    EdgeStream<T> edges;
  };

  int64_t stride() const { return columns_.stride(sizeof(T)); }

  void add_blocks(const kernels::Edges& all) {
    constexpr int64_t kMostEdges = 32768;
    const int bits = kernels::panel_bits(all, stride());
    for (int64_t first = 0; first < targets_;) {
      int64_t last = first + 1;
      while (last < targets_ && last - first < kernels::kBlockTargets &&
             all.offsets[last + 1] - all.offsets[first] <= kMostEdges) {
        ++last;
      }
      kernels::Edges edges = all;
      edges.first_target = first;
      edges.num_targets = last - first;
      blocks_.push_back({first, all.offsets[first],
                         kernels::stream_edges<T>(edges, stride(), bits,
                                                  [](int64_t, int64_t, int64_t) { return T{0}; })});
      first = last;
    }
  }

  // Each is wide enough to be worth sums of its own, and all sums take no more than the batch does.
  int64_t num_shares() const {
    constexpr int64_t kFewestTiles = 2, kMostShares = 32;
    const int64_t room = (input_.numel() + grad_.numel()) / std::max<int64_t>(1, num_edges_);
    return std::clamp<int64_t>(std::min(columns_.tiles(sizeof(T)) / kFewestTiles, room), 1,
                               kMostShares);
  }

  // A block's sums stay in the second cache while the images pass by.
  void in_place(int64_t begin, int64_t end, T* sums) {
    const int64_t places = columns_.places, tiles = columns_.tiles_per_image();
    for (const Block& block : blocks_) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t image = i / tiles, place = i % tiles * kTile;
        const int64_t count = std::min(kTile, places - place);
        const T* in = input_.const_data_ptr<T>() + image * sources_ * places + place;
        const T* grad = grad_.const_data_ptr<T>() + image * targets_ * places + place;
        if (grad_input_.defined() && block.first_target == 0) {
          T* to = grad_input_.mutable_data_ptr<T>() + image * sources_ * places + place;
          kernels::sparse_product<T>(transpose_, grad, to, places, count, kernels::Start::kZero,
                                     nullptr, {.next_source = in, .past_caches = past_caches_});
        }
        kernels::sparse_product_grad_edges(block.edges, in, grad + block.first_target * places,
                                           places, count, sums + block.first_edge);
      }
    }
  }

  // To copy a tile once more for each block would cost more than the sums do.
  void in_rows(int64_t first, int64_t last, const Rows& rows, T* sums) {
    const int64_t places = columns_.places;
    const kernels::Maps<const T> grads{grad_.const_data_ptr<T>(), targets_, places,
                                       targets_ * places};
    const kernels::Maps<const T> inputs{input_.const_data_ptr<T>(), sources_, places,
                                        sources_ * places};
    T* grad = rows.grad.template mutable_data_ptr<T>();
    T* in = rows.input.template mutable_data_ptr<T>();
    for (int64_t tile = first; tile < last; ++tile) {
      const int64_t begin = tile * kTile, end = std::min(columns_.count(), begin + kTile);
      kernels::pack<T>(grads, begin, end, grad);
      if (grad_input_.defined()) {
        kernels::sparse_product(transpose_, grad, in, kTile, kTile, kernels::Start::kZero);
        kernels::unpack<T>(
            in, begin, end,
            {grad_input_.mutable_data_ptr<T>(), sources_, places, sources_ * places});
      }
      kernels::pack<T>(inputs, begin, end, in);
      for (const Block& block : blocks_) {
        kernels::sparse_product_grad_edges(block.edges, in, grad + block.first_target * kTile,
                                           kTile, kTile, sums + block.first_edge);
      }
    }
  }

  // The sums of all shares, each at its edge's position.
  Tensor add_up(const T* sums, int64_t shares) const {
    constexpr int64_t kGrain = 4096;
    const Tensor out = at::empty({num_edges_}, input_.options());
    T* to = out.mutable_data_ptr<T>();
    for (const Block& block : blocks_) {
      const auto& positions = block.edges.positions;
      const T* of_block = sums + block.first_edge;
      at::parallel_for(0, positions.size(), kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          T sum = 0;
          for (int64_t share = 0; share < shares; ++share) sum += of_block[share * num_edges_ + i];
          to[positions[i]] = sum;
        }
      });
    }
    return out;
  }

  const Columns columns_;
  const Tensor &grad_, &input_;
  const int64_t sources_, targets_;
  const int64_t num_edges_;
  std::vector<Block> blocks_;
  EdgeStream<T> transpose_;
  Tensor grad_input_;  // none: it is not asked for
  bool past_caches_ = false;
};

}  // namespace

ProductGradients backward_sparse(const Tensor& grad, const Tensor& input, const Tensor& values,
                                 const Structure& structure, bool to_input, bool to_values) {
  if (grad.numel() == 0 || input.numel() == 0) {
    return {to_input ? at::zeros_like(input) : Tensor(),
            to_values ? at::zeros_like(values) : Tensor()};
  }
  if (!to_values) {
    return {multiply_sparse(by_input(structure), grad, values,
                            structure.order.const_data_ptr<int32_t>(), std::nullopt),
            Tensor()};
  }
  return AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "product_backward", [&] {
    return ProductBackward<scalar_t>(grad, input, values, structure, to_input).run();
  });
}

}  // namespace rewire::ops
