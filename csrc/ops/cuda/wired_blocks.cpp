// wired_blocks on a CUDA device: torch's own ops around our products. The state lies by channel,
// [channels, batch, height, width]: the channels of a block are then one matrix of batch * places
// columns, whatever the size of a map. Nothing waits for the device; the edges are trusted.
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/var_mean.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <ATen/TensorOperators.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>

#include "ops/cuda/product.h"
#include "ops/cuda/stream.h"
#include "ops/wired_blocks_on.h"

namespace rewire::ops {
namespace {

using at::Tensor;

// [batch, channels, ...] to [channels, batch, ...], and back.
Tensor turned(const Tensor& maps) { return maps.transpose(0, 1); }

// A state by channel as the op gives it, and back.
Tensor packed(const Tensor& state, const StateLayout& layout) {
  const int64_t channels = state.size(0), columns = layout.images * layout.places();
  const int64_t missing = layout.chunks * layout.images - layout.batch;
  Tensor maps = state.flatten(2);
  if (missing > 0) maps = at::constant_pad_nd(maps, {0, 0, 0, missing});
  Tensor out = at::zeros({layout.chunks, channels, layout.stride}, state.options());
  out.narrow(2, 0, columns).copy_(turned(maps.view({channels, layout.chunks, columns})));
  return out;
}
Tensor unpacked(const Tensor& state, const StateLayout& layout) {
  const int64_t channels = state.size(1);
  return turned(state.narrow(2, 0, layout.images * layout.places()))
      .reshape({channels, layout.chunks * layout.images, layout.height, layout.width})
      .narrow(1, 0, layout.batch);
}

// What forward and backward share. Tensors of a block are [its channels, batch, height, width].
class Steps {
 public:
  Steps(const BlocksCall& call, const Tensor& input) : call_(call), layout_(call, input) {
    if (call.execution == Execution::kDense) {
      matrix_ = call.used();
    } else {
      values_ = edge_values(call.weight, call.structure->row_offsets, call.structure->columns);
    }
  }

 protected:
  const Block& last() const { return call_.blocks.back(); }
  bool is_last(int64_t index) const { return index == call_.num_blocks() - 1; }

  cuda::Part part(const Block& block) const {
    return {.first_row = block.target,
            .num_rows = call_.sent(block),
            .first_column = block.column,
            .num_columns = block.size};
  }
  // Maps as one matrix.
  Tensor columns_of(const Tensor& maps) const {
    return maps.view({maps.size(0), layout_.batch * layout_.places()});
  }

  // to += the block's edges * z.
  void send(const Block& block, const Tensor& z, const Tensor& to) const {
    const Tensor from = columns_of(z);
    Tensor sums = columns_of(to);
    if (call_.execution == Execution::kDense) {
      sums.addmm_(call_.part_of(block, matrix_), from);
      return;
    }
    cuda::multiply({*call_.structure, values_, part(block)}, from.unsqueeze(0), std::nullopt, true,
                   sums.unsqueeze(0));
  }
  // From the gradient of what a block sent to that of z.
  Tensor send_back(const Block& block, const Tensor& grad) const {
    const Tensor from = columns_of(grad);
    Tensor sums = at::empty({block.size, from.size(1)}, from.options());
    if (call_.execution == Execution::kDense) {
      at::mm_out(sums, call_.part_of(block, matrix_).t(), from);
    } else {
      cuda::multiply({*call_.structure, values_, part(block), true}, from.unsqueeze(0),
                     std::nullopt, false, sums.unsqueeze(0));
    }
    return sums.view({block.size, layout_.batch, layout_.height, layout_.width});
  }

  // A block's part of tensors [..., parameters], to be broadcast over its maps.
  Tensor of_block(const Tensor& parameters, const Block& block) const {
    const Tensor part = parameters.narrow(-1, block.parameter, block.size);
    return part.dim() == 2 ? part.t().unsqueeze(2).unsqueeze(3) : part.view({block.size, 1, 1, 1});
  }
  // The maps that share a statistic.
  std::vector<int64_t> shared() const {
    if (call_.statistics == Statistics::kInstance) return {2, 3};
    return {1, 2, 3};
  }

  struct Normed {
    Tensor scale;  // weight / sqrt(variance + eps)
    Tensor maps;   // (x - mean) scale + bias
  };
  Normed normalise(const Block& block, const Tensor& x, const Tensor& mean,
                   const Tensor& variance) const {
    const Tensor scale = of_block(call_.norm_weight, block) * (variance + call_.eps).rsqrt();
    return {scale, x * scale + (of_block(call_.norm_bias, block) - mean * scale)};
  }

  Tensor taps(const Block& block) const {
    return call_.depthwise.narrow(0, block.parameter, block.size).view({block.size, 1, 3, 3});
  }
  std::vector<int64_t> stride(int64_t index) const {
    const int64_t stride = call_.is_entry(index) ? call_.entry_stride : 1;
    return {stride, stride};
  }
  // The depthwise convolution: torch's own kernel but for a single channel, which goes to cuDNN,
  // with torch's settings for it (TF32, determinism).
  Tensor convolve(int64_t index, const Tensor& rectified) const {
    const Block& block = call_.blocks[index];
    return turned(at::convolution(turned(rectified), taps(block), {}, stride(index), {1, 1}, {1, 1},
                                  false, {0, 0}, block.size))
        .contiguous();
  }

  const BlocksCall& call_;
  const StateLayout layout_;
  Tensor values_, matrix_;
};

class Forward : Steps {
 public:
  using Steps::Steps;

  BlocksOutput run(const Tensor& input, const Tensor& given_mean, const Tensor& given_variance) {
    const auto options = input.options();
    const bool given = call_.statistics == Statistics::kGiven;
    const auto moments = moments_of(call_, layout_.batch);
    Tensor all_means = given ? given_mean : at::empty(moments, options);
    Tensor all_variances = given ? given_variance : at::empty(moments, options);
    Tensor state =
        at::zeros({call_.channels(), layout_.batch, layout_.height, layout_.width}, options);
    if (!call_.is_entry(0)) state.narrow(0, 0, input.size(1)).copy_(turned(input));
    Tensor output;
    for (int64_t i = 0; i < call_.num_blocks(); ++i) {
      const Block& block = call_.blocks[i];
      const Tensor x =
          call_.is_entry(i) ? turned(input) : state.narrow(0, block.channel, block.size);
      Tensor mean = of_block(all_means, block), variance = of_block(all_variances, block);
      if (!given) {
        const auto moments_of_x = at::var_mean(x, shared(), false, true);
        variance.copy_(std::get<0>(moments_of_x));
        mean.copy_(std::get<1>(moments_of_x));
      }
      const Tensor z = convolve(i, normalise(block, x, mean, variance).maps.relu_());
      Tensor to = state.narrow(0, block.target, call_.sent(block));
      if (is_last(i)) output = to = to.clone();  // the state holds what the blocks read
      send(block, z, to);
    }
    return {turned(output).contiguous(), all_means, all_variances,
            packed(state.narrow(0, 0, call_.kept_channels()), layout_)};
  }
};

class Backward : Steps {
 public:
  Backward(const BlocksCall& call, const Tensor& input, const Tensor& mean, const Tensor& variance)
      : Steps(call, input), input_(input), mean_(mean), variance_(variance) {
    of_norm_weight_ = at::empty_like(call.norm_weight);
    of_norm_bias_ = at::empty_like(call.norm_bias);
    of_taps_ = at::empty_like(call.depthwise);
    of_weight_ = at::zeros_like(call.weight);
    if (call.gradient_rates && call.execution == Execution::kSparse) {
      of_values_ = at::zeros_like(values_);
    }
  }

  BlocksGradients run(const Tensor& grad_output, const Tensor& packed_state) {
    const Tensor state = unpacked(packed_state, layout_);
    Tensor of_state = at::zeros({call_.channels(), layout_.batch, layout_.height, layout_.width},
                                grad_output.options());
    of_state.narrow(0, last().target, call_.outputs()).copy_(turned(grad_output));
    Tensor of_entry;
    for (int64_t i = call_.num_blocks() - 1; i >= 0; --i) {
      const Block& block = call_.blocks[i];
      const bool entry = call_.is_entry(i);
      Tensor grad = of_state.narrow(0, block.target, call_.sent(block));
      // The last block may write to channels that are also its own: those change below.
      if (is_last(i)) grad = grad.clone();
      const Tensor x = entry ? turned(input_) : state.narrow(0, block.channel, block.size);
      const Tensor of_x = differentiate(i, x, grad);
      if (entry) {
        of_entry = of_x;
      } else {
        of_state.narrow(0, block.channel, block.size).add_(of_x);
      }
    }
    if (!of_entry.defined()) of_entry = of_state.narrow(0, 0, input_.size(1));
    return {turned(of_entry).contiguous(), of_weight(), of_taps_, of_norm_weight_, of_norm_bias_};
  }

 private:
  // From the gradient of what a block sent to that of what it read; those of its parameters on the
  // way.
  Tensor differentiate(int64_t index, const Tensor& x, const Tensor& grad) {
    const Block& block = call_.blocks[index];
    const Tensor mean = of_block(mean_, block), variance = of_block(variance_, block);
    const Normed normed = normalise(block, x, mean, variance);
    const Tensor rectified = normed.maps.relu();
    const Tensor z = convolve(index, rectified);
    add_weight_gradient(block, z, grad);

    const Tensor of_z = send_back(block, grad);
    const auto [of_rectified, of_taps, none] = at::convolution_backward(
        turned(of_z), turned(rectified), taps(block), at::OptionalIntArrayRef(), stride(index),
        {1, 1}, {1, 1}, false, {0, 0}, block.size, {true, true, false});
    of_taps_.narrow(0, block.parameter, block.size).copy_(of_taps.flatten(1));
    const Tensor of_normed = at::where(normed.maps > 0, turned(of_rectified), 0);

    // a = weight xhat + bias, xhat = (x - mean) / sqrt(variance + eps):
    //   dx = weight / sqrt(variance + eps) (da - sum(da) / count - xhat sum(da xhat) / count)
    // Given statistics do not depend on x: no sums then.
    const Tensor inverse = (variance + call_.eps).rsqrt();
    const Tensor xhat = (x - mean) * inverse;
    const Tensor sum = of_normed.sum(shared(), true);
    const Tensor sum_xhat = (of_normed * xhat).sum(shared(), true);
    of_norm_weight_.narrow(0, block.parameter, block.size).copy_(sum_xhat.sum({1, 2, 3}));
    of_norm_bias_.narrow(0, block.parameter, block.size).copy_(sum.sum({1, 2, 3}));
    if (call_.statistics == Statistics::kGiven) return of_normed * normed.scale;
    const double count = double(x.numel()) / double(sum.numel());
    return normed.scale * (of_normed - (sum + xhat * sum_xhat) / count);
  }

  void add_weight_gradient(const Block& block, const Tensor& z, const Tensor& grad) {
    const Tensor from = columns_of(z), to = columns_of(grad);
    if (of_values_.defined()) {
      cuda::grad_edges(*call_.structure, part(block), from.unsqueeze(0), to.unsqueeze(0),
                       of_values_);
      if (call_.edges_alone) return;
    }
    call_.part_of(block, of_weight_).copy_(at::mm(to, from.t()));
  }

  // Edges in use have all of their gradient, other candidates that times their row's rate.
  Tensor of_weight() const {
    if (!call_.gradient_rates) return of_weight_;
    const Structure& s = *call_.structure;
    const Tensor values =
        of_values_.defined() ? of_values_ : edge_values(of_weight_, s.row_offsets, s.columns);
    const auto at_edges = [&](const Tensor& of_edges) {
      return edge_matrix(of_edges, s.row_offsets, s.columns, call_.weight.size(1));
    };
    if (call_.edges_alone) return at_edges(values);
    const Tensor rates = call_.gradient_rates->unsqueeze(1);
    return at::where(at_edges(at::ones_like(values)) != 0, at_edges(values),
                     (of_weight_ * rates).masked_fill_(rates == 0, 0));
  }

  const Tensor &input_, &mean_, &variance_;
  Tensor of_norm_weight_, of_norm_bias_, of_taps_;
  Tensor of_weight_;
  Tensor of_values_;  // where edges get their gradient apart
};

struct BlocksOnCuda {
  static void resolve(const char*, std::string_view execution, BlocksCall& call) {
    if (!call.structure) return;
    // As if edges were spread evenly: which ones the blocks read only the device knows.
    const double candidates = std::max<int64_t>(1, call.weight.numel());
    call.execution =
        resolve_execution(execution, double(call.structure->columns.numel()) / candidates,
                          call.weight.device(), call.weight.scalar_type());
  }

  static BlocksOutput forward(const BlocksCall& call, const Tensor& input, const Tensor& mean,
                              const Tensor& variance) {
    const c10::DeviceGuard guard(input.device());
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    return Forward(call, input).run(input, mean, variance);
  }

  static BlocksGradients backward(const BlocksCall& call, const Tensor& grad_output,
                                  const Tensor& input, const Tensor& mean, const Tensor& variance,
                                  const Tensor& state) {
    const c10::DeviceGuard guard(input.device());
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    return Backward(call, input, mean, variance).run(grad_output, state);
  }
};

}  // namespace

REWIRE_CUDA_LIBRARY(m) {
  m.impl("wired_blocks", forward_on<BlocksOnCuda>);
  m.impl("wired_blocks_backward", backward_on<BlocksOnCuda>);
}

}  // namespace rewire::ops
