// Backward goes through the blocks from the last to the first, over groups of chunks that are wide
// enough for the dense product of the weight's gradient. What forward sent is computed once more.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <memory>

#include "ops/wired_blocks_steps.h"

namespace rewire::ops {
namespace {

using at::Tensor;

// Columns that a dense product should have to sum over.
constexpr int64_t kWideColumns = 256;
// Between the rows of a group: rows a power of two apart share few sets of the first cache.
constexpr int64_t kGap = kernels::kFewestColumns;

// What one thread adds up, and room that it computes with.
template <typename T>
struct Share {
  kernels::MapScratch<T> maps;
  std::vector<T> scale, shift;               // [own] of one image
  std::vector<T> taps;                       // [own, 9] gradient
  std::vector<T> norm_weight, norm_bias;     // [own] gradients
  std::vector<T> of_scaled, of_shift;        // [own] sums over one image, or the batch
  std::vector<kernels::NormBackward<T>> by;  // [own]
  Tensor z;                                  // [largest block, ld]
  Tensor sent;                               // [outputs, ld] gradient of the output
  Tensor weight;                             // [channels, columns] gradient
  std::vector<std::vector<T>> edges;         // gradient of each block's stream

  Share(const BlocksCall& call, const StateLayout& layout, int64_t ld,
        const at::TensorOptions& options)
      : maps(layout.height, layout.width),
        scale(call.own()),
        shift(call.own()),
        taps(call.own() * kernels::kTaps),
        norm_weight(call.own()),
        norm_bias(call.own()),
        of_scaled(call.own()),
        of_shift(call.own()),
        by(call.own()),
        z(at::zeros({largest_block(call), ld}, options)),
        sent(at::empty({call.outputs(), ld}, options)) {}
};

template <typename T>
class Backward {
 public:
  Backward(const BlocksCall& call, const StateLayout& layout, const Tensor& grad_output,
           const Tensor& mean, const Tensor& variance, const Tensor& state, bool kept)
      : call_(call),
        layout_(layout),
        chunks_(std::clamp<int64_t>(kWideColumns / layout.stride, 1, layout.chunks)),
        columns_(chunks_ * layout.stride),
        ld_(columns_ + kGap),
        groups_((layout.chunks + chunks_ - 1) / chunks_),
        grad_output_(grad_output),
        mean_(mean.const_data_ptr<T>()),
        variance_(variance.const_data_ptr<T>()),
        state_(state.const_data_ptr<T>()),
        kept_(kept),
        all_(!kept || call.execution == Execution::kDense),
        edges_(call, ld_, Direction::kBackward) {
    if (!all_) forward_edges_ = std::make_unique<BlockEdges<T>>(call, ld_, Direction::kForward);
    const int64_t count = std::min<int64_t>(at::get_num_threads(), groups_);
    for (int64_t i = 0; i < count; ++i) add_share(state.options());
    // Statistics of the batch tie all images together: then all gradients are held at once.
    const int64_t slots = call.statistics == Statistics::kBatch ? groups_ : count;
    grad_state_ = at::empty({slots, call.channels(), ld_}, state.options());
    grad_sent_ = at::empty({slots, largest_block(call), ld_}, state.options());
  }

  BlocksGradients run(int64_t in_channels) {
    Tensor grad_input = at::empty({layout_.batch, in_channels, layout_.height, layout_.width},
                                  grad_state_.options());
    const int64_t last = call_.num_blocks() - 1;
    if (call_.statistics != Statistics::kBatch) {
      for_each_group([&](int64_t group, int64_t share) {
        start(group, share);
        for (int64_t block = last; block >= 0; --block) {
          differentiate(group, share, block, shares_[share]);
        }
        finish(group, share, grad_input);
      });
      return total(grad_input);
    }
    for_each_group([&](int64_t group, int64_t) { start(group, group); });
    for (int64_t block = last; block >= 0; --block) {
      for_each_group([&](int64_t group, int64_t share) {
        differentiate(group, group, block, shares_[share]);
      });
      add_up_batch(block);
      for_each_group([&](int64_t group, int64_t) {
        for_each_image(group, [&](int64_t image, int64_t column) {
          to_state(group, block, image, column, shares_.front().by);
        });
      });
    }
    for_each_group([&](int64_t group, int64_t) { finish(group, group, grad_input); });
    return total(grad_input);
  }

 private:
  void add_share(const at::TensorOptions& options) {
    Share<T>& share = shares_.emplace_back(call_, layout_, ld_, options);
    if (all_) {
      share.weight = at::zeros(call_.weight.sizes(), options);
      return;
    }
    for (int64_t block = 0; block < call_.num_blocks(); ++block) {
      share.edges.emplace_back((*forward_edges_)[block].edges.size());
    }
  }

  // Calls f(group, share): a share's groups on one thread, in order.
  template <typename F>
  void for_each_group(F&& f) {
    const int64_t count = shares_.size();
    at::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
      for (int64_t share = first; share < last; ++share) {
        for (int64_t group = groups_ * share / count; group < groups_ * (share + 1) / count;
             ++group) {
          f(group, share);
        }
      }
    });
  }

  // Calls f(image, its first column in the group).
  template <typename F>
  void for_each_image(int64_t group, F&& f) const {
    const int64_t first = group * chunks_ * layout_.images;
    const int64_t count = std::min(chunks_ * layout_.images, layout_.batch - first);
    for (int64_t i = 0; i < count; ++i) {
      f(first + i, i / layout_.images * layout_.stride + i % layout_.images * layout_.places());
    }
  }

  kernels::Rows<const T> own_rows(int64_t image, int64_t block) const {
    const int64_t chunk = image / layout_.images, place = image % layout_.images * layout_.places();
    return {state_ + (chunk * call_.channels() + call_.begin(block)) * layout_.stride + place,
            layout_.stride, call_.size(block)};
  }

  T* grad_state(int64_t slot, int64_t channel) {
    return grad_state_.mutable_data_ptr<T>() + (slot * call_.channels() + channel) * ld_;
  }
  T* grad_sent(int64_t slot) {
    return grad_sent_.mutable_data_ptr<T>() + slot * grad_sent_.size(1) * ld_;
  }

  // The gradient of the output, and zeros in all other channels and columns.
  void start(int64_t group, int64_t slot) {
    std::fill_n(grad_state(slot, 0), call_.channels() * ld_, T{0});
    for_each_image(group, [&](int64_t image, int64_t column) {
      const int64_t places = layout_.places();
      const T* from = grad_output_.const_data_ptr<T>() + image * call_.outputs() * places;
      for (int64_t channel = 0; channel < call_.outputs(); ++channel) {
        std::copy_n(from + channel * places, places,
                    grad_state(slot, call_.targets.back() + channel) + column);
      }
    });
  }

  void finish(int64_t group, int64_t slot, Tensor& grad_input) {
    const int64_t places = layout_.places(), channels = grad_input.size(1);
    for_each_image(group, [&](int64_t image, int64_t column) {
      T* to = grad_input.mutable_data_ptr<T>() + image * channels * places;
      for (int64_t channel = 0; channel < channels; ++channel) {
        std::copy_n(grad_state(slot, channel) + column, places, to + channel * places);
      }
    });
  }

  // From the gradient of what a block sent to that of what its normalisation gave, and, unless that
  // waits for the batch, to the state.
  void differentiate(int64_t group, int64_t slot, int64_t block, Share<T>& share) {
    // The last block may write to channels that are also its own: those change below.
    const T* grad = grad_state(slot, call_.targets[block]);
    if (block == call_.num_blocks() - 1) {
      grad = std::copy_n(grad, call_.outputs() * ld_, share.sent.template mutable_data_ptr<T>()) -
             call_.outputs() * ld_;
    }
    edges_.add(block, grad, grad_sent(slot), ld_, columns_);
    const int64_t begin = call_.begin(block), size = call_.size(block);
    T* z = share.z.template mutable_data_ptr<T>();
    for_each_image(group, [&](int64_t image, int64_t column) {
      const bool own_sums = call_.statistics != Statistics::kBatch;
      if (own_sums) {
        std::fill_n(share.of_scaled.data() + begin, size, T{0});
        std::fill_n(share.of_shift.data() + begin, size, T{0});
      }
      const auto norm = norm_of<T>(call_, mean_, variance_, image, block, share.scale, share.shift);
      kernels::norm_depthwise_backward<T>(
          own_rows(image, block), norm,
          call_.depthwise.const_data_ptr<T>() + begin * kernels::kTaps, share.maps,
          {z + column, ld_, size}, {grad_sent(slot) + column, ld_, size},
          {share.taps.data() + begin * kernels::kTaps, share.of_shift.data() + begin,
           share.of_scaled.data() + begin});
      if (!own_sums) return;
      take_sums(block, image, T(layout_.places()), share);
      to_state(slot, block, image, column, share.by);
    });
    add_weight_gradient(block, grad, z, share);
  }

  // From the sums over an image, or the batch, to the gradients of the norm's weights and the
  // coefficients of its input's.
  //   a = g xhat + b, xhat = (x - mean) / sqrt(variance + eps):
  //   dx = g / sqrt(variance + eps) (da - sum(da) / count - xhat sum(da xhat) / count)
  // Given statistics do not depend on x: no sums then.
  void take_sums(int64_t block, int64_t image, T count, Share<T>& share) {
    const int64_t at = call_.statistics == Statistics::kInstance ? image * call_.own() : 0;
    const T* weight = call_.norm_weight.template const_data_ptr<T>();
    const bool given = call_.statistics == Statistics::kGiven;
    for (int64_t c = call_.begin(block); c < call_.ends[block]; ++c) {
      const T inverse = 1 / std::sqrt(variance_[at + c] + T(call_.eps));
      const T scale = weight[c] * inverse;
      share.norm_weight[c] += share.of_scaled[c] * inverse;
      share.norm_bias[c] += share.of_shift[c];
      share.by[c] = {.of_grad = scale,
                     .of_x = given ? T{0} : -scale * inverse * inverse * share.of_scaled[c] / count,
                     .mean = mean_[at + c],
                     .plus = given ? T{0} : -scale * share.of_shift[c] / count};
    }
  }

  // The sums of all threads, in the first share.
  void add_up_batch(int64_t block) {
    Share<T>& sum = shares_.front();
    for (size_t i = 1; i < shares_.size(); ++i) {
      for (int64_t c = call_.begin(block); c < call_.ends[block]; ++c) {
        sum.of_scaled[c] += shares_[i].of_scaled[c];
        sum.of_shift[c] += shares_[i].of_shift[c];
      }
    }
    take_sums(block, 0, T(layout_.batch * layout_.places()), sum);
  }

  void to_state(int64_t slot, int64_t block, int64_t image, int64_t column,
                const std::vector<kernels::NormBackward<T>>& by) {
    const int64_t begin = call_.begin(block);
    kernels::add_norm_backward<T>(
        own_rows(image, block), {grad_sent(slot) + column, ld_, call_.size(block)},
        by.data() + begin, {grad_state(slot, begin) + column, ld_, call_.size(block)},
        layout_.places());
  }

  void add_weight_gradient(int64_t block, const T* grad, const T* z, Share<T>& share) {
    if (!all_) {
      kernels::sparse_product_grad_edges((*forward_edges_)[block], z, grad, ld_, columns_,
                                         share.edges[block].data());
      return;
    }
    const int64_t sent = call_.channels() - call_.targets[block], own = call_.size(block);
    share.weight.narrow(0, call_.targets[block], sent)
        .narrow(1, call_.column(block), own)
        .addmm_(rows_of(grad, sent, columns_, ld_), rows_of(z, own, columns_, ld_).t());
  }

  static Tensor sum(std::vector<Share<T>>& shares, std::vector<T> Share<T>::*member,
                    at::IntArrayRef shape, const at::TensorOptions& options) {
    Tensor out = at::zeros(shape, options);
    T* to = out.mutable_data_ptr<T>();
    for (Share<T>& share : shares) {
      for (size_t i = 0; i < (share.*member).size(); ++i) to[i] += (share.*member)[i];
    }
    return out;
  }

  Tensor only_edges(const Tensor& weight) const {
    const Structure& s = *call_.structure;
    return edge_matrix(edge_values(weight, s.row_offsets, s.columns), s.row_offsets, s.columns,
                       weight.size(1));
  }

  Tensor weight_gradient() {
    if (all_) {
      Tensor weight = shares_.front().weight;
      for (size_t i = 1; i < shares_.size(); ++i) weight.add_(shares_[i].weight);
      return kept_ ? only_edges(weight) : weight;
    }
    const Structure& structure = *call_.structure;
    Tensor values = at::zeros({structure.columns.numel()}, grad_state_.options());
    T* to = values.template mutable_data_ptr<T>();
    for (const Share<T>& share : shares_) {
      for (int64_t block = 0; block < call_.num_blocks(); ++block) {
        const auto& positions = (*forward_edges_)[block].positions;
        for (size_t i = 0; i < positions.size(); ++i) to[positions[i]] += share.edges[block][i];
      }
    }
    return edge_matrix(values, structure.row_offsets, structure.columns, call_.weight.size(1));
  }

  BlocksGradients total(const Tensor& grad_input) {
    const auto options = grad_state_.options();
    const int64_t own = call_.own();
    return {grad_input, weight_gradient(),
            sum(shares_, &Share<T>::taps, {own, kernels::kTaps}, options),
            sum(shares_, &Share<T>::norm_weight, {own}, options),
            sum(shares_, &Share<T>::norm_bias, {own}, options)};
  }

  const BlocksCall& call_;
  const StateLayout& layout_;
  const int64_t chunks_;   // of a group
  const int64_t columns_;  // of a group
  const int64_t ld_;       // elements from one of its rows to the next
  const int64_t groups_;
  const Tensor& grad_output_;
  const T* mean_;
  const T* variance_;
  const T* state_;
  const bool kept_;
  const bool all_;  // the weight's gradient is summed for all candidates
  const BlockEdges<T> edges_;
  std::unique_ptr<BlockEdges<T>> forward_edges_;  // of the gradient of edges alone
  std::vector<Share<T>> shares_;
  Tensor grad_state_;  // [slots, channels, ld]
  Tensor grad_sent_;   // [slots, largest block, ld]: of z, then of what the normalisation gave
};

}  // namespace

BlocksGradients wired_blocks_gradients(const BlocksCall& call, const Tensor& grad_output,
                                       int64_t in_channels, const Tensor& mean,
                                       const Tensor& variance, const Tensor& state,
                                       std::string_view gradient) {
  const StateLayout layout(grad_output.size(0), grad_output.size(2), grad_output.size(3));
  const auto options = grad_output.options();
  if (layout.batch == 0 || layout.places() == 0) {
    return {at::zeros({layout.batch, in_channels, layout.height, layout.width}, options),
            at::zeros(call.weight.sizes(), options),
            at::zeros({call.own(), kernels::kTaps}, options), at::zeros({call.own()}, options),
            at::zeros({call.own()}, options)};
  }
  return AT_DISPATCH_FLOATING_TYPES(grad_output.scalar_type(), "wired_blocks_backward", [&] {
    return Backward<scalar_t>(call, layout, grad_output, mean, variance, state,
                              gradient == "kept" && call.structure)
        .run(in_channels);
  });
}

}  // namespace rewire::ops
