// Backward goes through the blocks from the last to the first, over groups of chunks that are wide
// enough for the dense product of the weight's gradient. What forward sent is computed once more.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "ops/sum_over_peers.h"
#include "ops/wired_blocks_steps.h"
#include "ops/wired_blocks_weight.h"

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
  kernels::MapScratch<T> maps, entry_maps;
  std::vector<T> scale, shift;               // [parameters] of one image
  std::vector<T> taps;                       // [parameters, 9] gradient
  std::vector<T> norm_weight, norm_bias;     // [parameters] gradients
  std::vector<T> of_scaled, of_shift;        // [parameters] sums over one image, or the batch
  std::vector<kernels::NormBackward<T>> by;  // [parameters]
  Tensor z;                                  // [largest block, ld]
  Tensor sent;                               // [outputs, ld] gradient of the output

  Share(const BlocksCall& call, const StateLayout& layout, const Tensor& input, int64_t ld,
        const at::TensorOptions& options)
      : maps(layout.height, layout.width),
        entry_maps(input.size(2), input.size(3), std::max<int64_t>(1, call.entry_stride)),
        scale(call.parameters()),
        shift(call.parameters()),
        taps(call.parameters() * kernels::kTaps),
        norm_weight(call.parameters()),
        norm_bias(call.parameters()),
        of_scaled(call.parameters()),
        of_shift(call.parameters()),
        by(call.parameters()),
        z(at::zeros({call.largest_block(), ld}, options)),
        sent(at::empty({call.outputs(), ld}, options)) {}
};

template <typename T>
class Backward {
 public:
  Backward(const BlocksCall& call, const StateLayout& layout, const Tensor& grad_output,
           const Tensor& input, const Tensor& mean, const Tensor& variance, const Tensor& state)
      : call_(call),
        layout_(layout),
        chunks_(std::clamp<int64_t>(kWideColumns / layout.stride, 1,
                                    std::max<int64_t>(1, layout.chunks))),
        columns_(chunks_ * layout.stride),
        ld_(columns_ + kGap),
        groups_((layout.chunks + chunks_ - 1) / chunks_),
        grad_output_(grad_output),
        input_(input),
        mean_(mean.const_data_ptr<T>()),
        variance_(variance.const_data_ptr<T>()),
        state_(state.const_data_ptr<T>()),
        grad_input_(at::empty(input.sizes(), grad_output.options())),
        edges_(call, ld_, Direction::kBackward),
        num_shares_(std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), groups_))),
        weight_(call, ld_, columns_, num_shares_) {
    for (int64_t i = 0; i < num_shares_; ++i) {
      shares_.emplace_back(call_, layout_, input_, ld_, state.options());
    }
    // Statistics of the batch tie all images together: then all gradients are held at once.
    const int64_t slots = call.statistics == Statistics::kBatch ? groups_ : num_shares_;
    grad_state_ = at::empty({slots, call.channels(), ld_}, state.options());
    grad_sent_ = at::empty({slots, call.largest_block(), ld_}, state.options());
  }

  BlocksGradients run() {
    const int64_t last = call_.num_blocks() - 1;
    if (call_.statistics != Statistics::kBatch) {
      for_each_group([&](int64_t group, int64_t share) {
        start(group, share);
        for (int64_t block = last; block >= 0; --block) {
          differentiate(group, share, block, share);
        }
        finish(group, share);
      });
      return total();
    }
    for_each_group([&](int64_t group, int64_t) { start(group, group); });
    for (int64_t block = last; block >= 0; --block) {
      for_each_group(
          [&](int64_t group, int64_t share) { differentiate(group, group, block, share); });
      add_up_batch(block);
      for_each_group([&](int64_t group, int64_t) {
        for_each_image(group, [&](int64_t image, int64_t column) {
          to_source(group, block, image, column, shares_.front().by);
        });
      });
    }
    for_each_group([&](int64_t group, int64_t) { finish(group, group); });
    return total();
  }

 private:
  // Calls f(group, share): a share's groups on one thread, in order.
  template <typename F>
  void for_each_group(F&& f) {
    const int64_t count = num_shares_;
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

  // What a block read of an image.
  kernels::Rows<const T> source(int64_t image, int64_t index) const {
    const Block& block = call_.blocks[index];
    if (call_.is_entry(index)) {
      const int64_t places = input_.size(2) * input_.size(3);
      return {input_.const_data_ptr<T>() + image * block.size * places, places, block.size};
    }
    const int64_t chunk = image / layout_.images, place = image % layout_.images * layout_.places();
    return {state_ + (chunk * call_.channels() + block.channel) * layout_.stride + place,
            layout_.stride, block.size};
  }
  kernels::MapScratch<T>& maps(Share<T>& share, int64_t index) const {
    return call_.is_entry(index) ? share.entry_maps : share.maps;
  }
  // The gradient of what a block's normalisation gave: that of an entry lies in the input's.
  kernels::Rows<T> grad_normed(int64_t slot, int64_t image, int64_t column, int64_t index) {
    const Block& block = call_.blocks[index];
    if (!call_.is_entry(index)) return {grad_sent(slot) + column, ld_, block.size};
    const int64_t places = input_.size(2) * input_.size(3);
    return {grad_input_.mutable_data_ptr<T>() + image * block.size * places, places, block.size};
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
                    grad_state(slot, call_.blocks.back().target + channel) + column);
      }
    });
  }

  // An entry's gradient is where it belongs.
  void finish(int64_t group, int64_t slot) {
    if (call_.is_entry(0)) return;
    const int64_t places = layout_.places(), channels = input_.size(1);
    for_each_image(group, [&](int64_t image, int64_t column) {
      T* to = grad_input_.mutable_data_ptr<T>() + image * channels * places;
      for (int64_t channel = 0; channel < channels; ++channel) {
        std::copy_n(grad_state(slot, channel) + column, places, to + channel * places);
      }
    });
  }

  // From the gradient of what a block sent to that of what its normalisation gave, and, unless that
  // waits for the batch, to the state.
  void differentiate(int64_t group, int64_t slot, int64_t index, int64_t share_index) {
    Share<T>& share = shares_[share_index];
    const Block& block = call_.blocks[index];
    // The last block may write to channels that are also its own: those change below.
    const T* grad = grad_state(slot, block.target);
    if (index == call_.num_blocks() - 1 && !call_.is_entry(index)) {
      grad = std::copy_n(grad, call_.outputs() * ld_, share.sent.template mutable_data_ptr<T>()) -
             call_.outputs() * ld_;
    }
    edges_.multiply(index, grad, grad_sent(slot), ld_, columns_, kernels::Start::kZero);
    const int64_t begin = block.parameter, size = block.size;
    T* z = share.z.template mutable_data_ptr<T>();
    for_each_image(group, [&](int64_t image, int64_t column) {
      const bool own_sums = call_.statistics != Statistics::kBatch;
      if (own_sums) {
        std::fill_n(share.of_scaled.data() + begin, size, T{0});
        std::fill_n(share.of_shift.data() + begin, size, T{0});
      }
      const auto norm = norm_of<T>(call_, mean_, variance_, image, block, share.scale, share.shift);
      kernels::norm_depthwise_backward<T>(
          source(image, index), norm, call_.depthwise.const_data_ptr<T>() + begin * kernels::kTaps,
          maps(share, index), {z + column, ld_, size}, {grad_sent(slot) + column, ld_, size},
          grad_normed(slot, image, column, index),
          {share.taps.data() + begin * kernels::kTaps, share.of_shift.data() + begin,
           share.of_scaled.data() + begin});
      if (!own_sums) return;
      add_norm_gradient(block, image, share);
      set_coefficients(block, image, T(maps(share, index).places), share);
      to_source(slot, index, image, column, share.by);
    });
    weight_.add(share_index, index, grad, z);
  }

  // Where an image's statistics begin.
  int64_t statistics_at(int64_t image) const {
    return call_.statistics == Statistics::kInstance ? image * call_.parameters() : 0;
  }
  T inverse_deviation(int64_t place) const {
    return 1 / std::sqrt(variance_[place] + T(call_.eps));
  }

  // From the sums over an image, or the batch, to the gradients of the norm's weights.
  void add_norm_gradient(const Block& block, int64_t image, Share<T>& share) {
    const int64_t at = statistics_at(image);
    for (int64_t c = block.parameter; c < block.parameter + block.size; ++c) {
      share.norm_weight[c] += share.of_scaled[c] * inverse_deviation(at + c);
      share.norm_bias[c] += share.of_shift[c];
    }
  }

  // From the same sums, over `count` places, to the coefficients of the gradient of the norm's
  // input.
  //   a = g xhat + b, xhat = (x - mean) / sqrt(variance + eps):
  //   dx = g / sqrt(variance + eps) (da - sum(da) / count - xhat sum(da xhat) / count)
  // Given statistics do not depend on x: no sums then.
  void set_coefficients(const Block& block, int64_t image, T count, Share<T>& share) {
    const int64_t at = statistics_at(image);
    const T* weight = call_.norm_weight.template const_data_ptr<T>();
    const bool given = call_.statistics == Statistics::kGiven;
    for (int64_t c = block.parameter; c < block.parameter + block.size; ++c) {
      const T inverse = inverse_deviation(at + c);
      const T scale = weight[c] * inverse;
      share.by[c] = {.of_grad = scale,
                     .of_x = given ? T{0} : -scale * inverse * inverse * share.of_scaled[c] / count,
                     .mean = mean_[at + c],
                     .plus = given ? T{0} : -scale * share.of_shift[c] / count};
    }
  }

  // The sums of all threads, in the first share; then those of all processes whose batches are one.
  void add_up_batch(int64_t index) {
    const Block& block = call_.blocks[index];
    Share<T>& sum = shares_.front();
    for (size_t i = 1; i < shares_.size(); ++i) {
      for (int64_t c = block.parameter; c < block.parameter + block.size; ++c) {
        sum.of_scaled[c] += shares_[i].of_scaled[c];
        sum.of_shift[c] += shares_[i].of_shift[c];
      }
    }
    add_norm_gradient(block, 0, sum);
    int64_t batch = layout_.batch;
    if (!call_.group.empty()) {
      T *scaled = sum.of_scaled.data() + block.parameter,
        *shift = sum.of_shift.data() + block.parameter;
      std::vector<double> joint(scaled, scaled + block.size);
      joint.insert(joint.end(), shift, shift + block.size);
      joint.push_back(double(batch));
      sum_over_peers(joint, call_.group);
      std::copy_n(joint.begin(), block.size, scaled);
      std::copy_n(joint.begin() + block.size, block.size, shift);
      batch = int64_t(joint.back());
    }
    set_coefficients(block, 0, T(batch * maps(sum, index).places), sum);
  }

  // To the gradient of what the block read: added to that of the state, or that of the input.
  void to_source(int64_t slot, int64_t index, int64_t image, int64_t column,
                 const std::vector<kernels::NormBackward<T>>& by) {
    const Block& block = call_.blocks[index];
    const bool entry = call_.is_entry(index);
    const kernels::Rows<T> da = grad_normed(slot, image, column, index);
    const kernels::Rows<T> of_state{grad_state(slot, block.channel) + column, ld_, block.size};
    kernels::norm_backward<T>(source(image, index), {da.data, da.stride, da.count},
                              by.data() + block.parameter, entry ? da : of_state,
                              entry ? input_.size(2) * input_.size(3) : layout_.places(), !entry);
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

  BlocksGradients total() {
    const auto options = grad_state_.options();
    const int64_t count = call_.parameters();
    return {grad_input_, weight_.total(),
            sum(shares_, &Share<T>::taps, {count, kernels::kTaps}, options),
            sum(shares_, &Share<T>::norm_weight, {count}, options),
            sum(shares_, &Share<T>::norm_bias, {count}, options)};
  }

  const BlocksCall& call_;
  const StateLayout& layout_;
  const int64_t chunks_;   // of a group
  const int64_t columns_;  // of a group
  const int64_t ld_;       // elements from one of its rows to the next
  const int64_t groups_;
  const Tensor& grad_output_;
  const Tensor& input_;
  const T* mean_;
  const T* variance_;
  const T* state_;
  Tensor grad_input_;
  const BlockEdges<T> edges_;
  const int64_t num_shares_;
  WeightGradient<T> weight_;
  std::vector<Share<T>> shares_;
  Tensor grad_state_;  // [slots, channels, ld]
  Tensor grad_sent_;   // [slots, largest block, ld]: of z, then of what the normalisation gave
};

}  // namespace

BlocksGradients BlocksOnCpu::backward(const BlocksCall& call, const Tensor& grad_output,
                                      const Tensor& input, const Tensor& mean,
                                      const Tensor& variance, const Tensor& state) {
  const StateLayout layout(call, input);
  return AT_DISPATCH_FLOATING_TYPES(grad_output.scalar_type(), "wired_blocks_backward", [&] {
    return Backward<scalar_t>(call, layout, grad_output, input, mean, variance, state).run();
  });
}

}  // namespace rewire::ops
