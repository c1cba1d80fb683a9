// wired_blocks on a CUDA device: a kernel from what a block reads to what its edges carry, and our
// products. The state lies by channel, [channels, batch, height, width]: the channels of a block
// are then one matrix of batch * places columns, whatever the size of a map. Nothing waits for the
// device; the edges are trusted.
#include "kernels/cuda/norm_depthwise.h"

#include <ATen/Dispatch.h>
#include <ATen/ops/constant_pad_nd.h>
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

  // A block's part of tensors [..., parameters].
  Tensor of_block(const Tensor& parameters, const Block& block) const {
    return parameters.narrow(-1, block.parameter, block.size);
  }

  // x [its channels, batch, height, width], each map contiguous.
  template <typename T>
  kernels::cuda::NormDepthwise<T> kernel_of(int64_t index, const Tensor& x, const Tensor& means,
                                            const Tensor& variances) const {
    using kernels::cuda::Moments;
    const Block& block = call_.blocks[index];
    const bool of_map = call_.statistics == Statistics::kInstance;
    const bool shared = call_.statistics == Statistics::kBatch;
    TORCH_CHECK_VALUE(x.size(2) <= INT32_MAX / x.size(3), "rewire::wired_blocks: maps of ",
                      x.size(2), " x ", x.size(3), " on CUDA");
    return {.channels = block.size,
            .batch = layout_.batch,
            .height = x.size(2),
            .width = x.size(3),
            .step = call_.is_entry(index) ? call_.entry_stride : 1,
            .moments = of_map   ? Moments::kMap
                       : shared ? Moments::kShared
                                : Moments::kGiven,
            .x = {x.const_data_ptr<T>(), x.stride(0), x.stride(1)},
            .weight = call_.norm_weight.const_data_ptr<T>() + block.parameter,
            .bias = call_.norm_bias.const_data_ptr<T>() + block.parameter,
            .taps = call_.depthwise.const_data_ptr<T>() + block.parameter * kernels::cuda::kTaps,
            .eps = static_cast<T>(call_.eps),
            .mean = means.const_data_ptr<T>() + block.parameter,
            .variance = variances.const_data_ptr<T>() + block.parameter,
            .to_moments = of_map ? call_.parameters() : 0};
  }

  // What the edges of a block carry. `find`: its moments are written, in the place of being read.
  Tensor carried(int64_t index, const Tensor& x, const Tensor& means, const Tensor& variances,
                 bool find) const {
    const Block& block = call_.blocks[index];
    const Tensor z =
        at::empty({block.size, layout_.batch, layout_.height, layout_.width}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "norm_depthwise", [&] {
      const auto found = [&](const Tensor& moments) {
        return find ? moments.mutable_data_ptr<scalar_t>() + block.parameter : nullptr;
      };
      kernels::cuda::norm_depthwise(kernel_of<scalar_t>(index, x, means, variances), found(means),
                                    found(variances), z.mutable_data_ptr<scalar_t>(), stream_of(x));
    });
    return z;
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
      if (call_.statistics == Statistics::kBatch) {
        const auto of_x = at::var_mean(x, at::IntArrayRef{1, 2, 3}, false);
        of_block(all_variances, block).copy_(std::get<0>(of_x));
        of_block(all_means, block).copy_(std::get<1>(of_x));
      }
      const Tensor z =
          carried(i, x, all_means, all_variances, call_.statistics == Statistics::kInstance);
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
      const Tensor of_x =
          entry ? at::zeros(x.sizes(), x.options()) : of_state.narrow(0, block.channel, block.size);
      differentiate(i, x, grad, of_x);
      if (entry) of_entry = of_x;
    }
    if (!of_entry.defined()) of_entry = of_state.narrow(0, 0, input_.size(1));
    return {turned(of_entry).contiguous(), of_weight(), of_taps_, of_norm_weight_, of_norm_bias_};
  }

 private:
  // From the gradient of what a block sent to that of what it read, which is added to what is
  // there; those of its parameters on the way.
  void differentiate(int64_t index, const Tensor& x, const Tensor& grad, const Tensor& of_x) {
    using kernels::cuda::kDepthwiseSums;
    const Block& block = call_.blocks[index];
    add_weight_gradient(block, carried(index, x, mean_, variance_, false), grad);
    const Tensor of_z = send_back(block, grad);
    const Tensor sums = at::empty(
        {block.size, kernels::cuda::depthwise_shares(block.size, layout_.batch), kDepthwiseSums},
        x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "norm_depthwise_backward", [&] {
      const auto kernel = kernel_of<scalar_t>(index, x, mean_, variance_);
      const auto stream = stream_of(x);
      const auto* const from = of_z.const_data_ptr<scalar_t>();
      const kernels::cuda::DepthwiseMaps<scalar_t> to = {of_x.mutable_data_ptr<scalar_t>(),
                                                         of_x.stride(0), of_x.stride(1)};
      kernels::cuda::norm_depthwise_backward(kernel, from, to, sums.mutable_data_ptr<scalar_t>(),
                                             stream);
      const Tensor totals = sums.sum(1);
      of_block(of_norm_bias_, block).copy_(totals.select(1, 0));
      of_block(of_norm_weight_, block).copy_(totals.select(1, 1));
      of_taps_.narrow(0, block.parameter, block.size)
          .copy_(totals.narrow(1, 2, kernels::cuda::kTaps));
      if (call_.statistics != Statistics::kBatch) return;
      kernels::cuda::norm_depthwise_grad_input(kernel, from, totals.const_data_ptr<scalar_t>(), to,
                                               stream);
    });
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
  static void resolve(const char* op, std::string_view execution, BlocksCall& call) {
    TORCH_CHECK_NOT_IMPLEMENTED(
        call.group.empty(), op,
        ": the statistics of a group of processes are not computed on CUDA");
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
