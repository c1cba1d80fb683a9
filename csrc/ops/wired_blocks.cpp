// wired_blocks: the blocks of a wired network that share one state. Contract: rewire.h.
#include "ops/wired_blocks_on.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/dispatch.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Given = std::optional<Tensor>;
using Outputs = BlocksOutputs;
using Gradients = BlocksGradientOutputs;

Outputs blocks_forward_meta(const Tensor& input, const Tensor& weight, at::TensorList structure,
                            const Tensor& depthwise, const Tensor& norm_weight,
                            const Tensor& norm_bias, const Given& mean, const Given& variance,
                            at::IntArrayRef ends, at::IntArrayRef targets, std::string_view norm,
                            double eps, std::string_view gradient, std::string_view execution,
                            const Given& gradient_rates, int64_t entry_stride, bool keep_state) {
  const BlocksArguments arguments{weight,    structure,      depthwise,   norm_weight, norm_bias,
                                  ends,      targets,        norm,        eps,         gradient,
                                  execution, gradient_rates, entry_stride};
  check_wired_blocks(arguments, input, mean, variance);
  const auto options = input.options().dtype(summing_dtype(input));
  const auto sizes = output_sizes(arguments, input);
  // Maps are small, and of one size in a model: their layout is not symbolic.
  const StateLayout layout(1, sizes[2].guard_int(__FILE__, __LINE__),
                           sizes[3].guard_int(__FILE__, __LINE__));
  std::vector<c10::SymInt> moments{norm_weight.sym_size(0)};
  if (norm == "instance") moments.insert(moments.begin(), sizes[0]);
  if (norm == "given") moments = {0};
  const c10::SymInt kept = ends.empty() || !keep_state ? 0 : weight.sym_size(0);
  return {at::empty_symint(sizes, input.options()), at::empty_symint(moments, options),
          at::empty_symint(moments, options),
          at::empty_symint({(sizes[0] + (layout.images - 1)) / layout.images, kept, layout.stride},
                           options)};
}

Gradients blocks_backward_meta(const Tensor& grad_output, const Tensor& weight,
                               at::TensorList structure, const Tensor& depthwise,
                               const Tensor& norm_weight, const Tensor& norm_bias, const Tensor&,
                               const Tensor&, const Tensor&, const Tensor& input,
                               at::IntArrayRef ends, at::IntArrayRef targets, std::string_view norm,
                               double eps, std::string_view gradient, std::string_view execution,
                               const Given& gradient_rates, int64_t entry_stride) {
  check_wired_blocks_backward({weight, structure, depthwise, norm_weight, norm_bias, ends, targets,
                               norm, eps, gradient, execution, gradient_rates, entry_stride},
                              grad_output, input);
  return {at::empty_symint(input.sym_sizes(), input.options()),
          at::empty_symint(weight.sym_sizes(), weight.options()),
          at::empty_symint(depthwise.sym_sizes(), weight.options()),
          at::empty_symint(norm_weight.sym_sizes(), weight.options()),
          at::empty_symint(norm_bias.sym_sizes(), weight.options())};
}

// The input, if an entry reads it; or else its sizes, without its numbers.
Tensor read_by_backward(const Tensor& input, int64_t entry_stride) {
  return entry_stride > 0 ? input
                          : at::empty({1}, input.options()).expand_symint(input.sym_sizes());
}

struct Blocks : torch::autograd::Function<Blocks> {
  static constexpr size_t kArguments = 16;

  static variable_list forward(AutogradContext* ctx, const Tensor& input, const Tensor& weight,
                               const std::vector<Tensor>& structure, const Tensor& depthwise,
                               const Tensor& norm_weight, const Tensor& norm_bias,
                               const Given& mean, const Given& variance,
                               const std::vector<int64_t>& ends,
                               const std::vector<int64_t>& targets, std::string_view norm,
                               double eps, std::string_view gradient, std::string_view execution,
                               const Given& gradient_rates, int64_t entry_stride) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [output, own_mean, own_variance, state] = wired_blocks(
        input, weight, structure, depthwise, norm_weight, norm_bias, mean, variance, ends, targets,
        norm, eps, gradient, execution, gradient_rates, entry_stride, true);
    variable_list saved{weight,
                        depthwise,
                        norm_weight,
                        norm_bias,
                        mean.value_or(own_mean),
                        variance.value_or(own_variance),
                        state,
                        read_by_backward(input, entry_stride),
                        gradient_rates.value_or(Tensor())};
    saved.insert(saved.end(), structure.begin(), structure.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["entry_stride"] = entry_stride;
    ctx->saved_data["ends"] = ends;
    ctx->saved_data["targets"] = targets;
    ctx->saved_data["norm"] = std::string(norm);
    ctx->saved_data["eps"] = eps;
    ctx->saved_data["gradient"] = std::string(gradient);
    ctx->saved_data["execution"] = std::string(execution);
    ctx->mark_non_differentiable({own_mean, own_variance, state});
    ctx->set_materialize_grads(false);  // the state is large, and has no gradient
    return {output, own_mean, own_variance, state};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    variable_list results(kArguments);
    if (!grads[0].defined()) return results;
    const variable_list saved = ctx->get_saved_variables();
    const std::vector<Tensor> structure(saved.begin() + 9, saved.end());
    auto& data = ctx->saved_data;
    const auto [input, weight, depthwise, norm_weight, norm_bias] = wired_blocks_backward(
        grads[0], saved[0], structure, saved[1], saved[2], saved[3], saved[4], saved[5], saved[6],
        saved[7], data["ends"].toIntVector(), data["targets"].toIntVector(),
        data["norm"].toStringRef(), data["eps"].toDouble(), data["gradient"].toStringRef(),
        data["execution"].toStringRef(), saved[8].defined() ? Given(saved[8]) : Given(),
        data["entry_stride"].toInt());
    results[0] = input;
    results[1] = weight;
    results[3] = depthwise;
    results[4] = norm_weight;
    results[5] = norm_bias;
    return results;
  }
};

Outputs blocks_forward_autograd(const Tensor& input, const Tensor& weight, at::TensorList structure,
                                const Tensor& depthwise, const Tensor& norm_weight,
                                const Tensor& norm_bias, const Given& mean, const Given& variance,
                                at::IntArrayRef ends, at::IntArrayRef targets,
                                std::string_view norm, double eps, std::string_view gradient,
                                std::string_view execution, const Given& gradient_rates,
                                int64_t entry_stride, bool keep_state) {
  if (!keep_state) {
    for (const Tensor& tensor : {input, weight, depthwise, norm_weight, norm_bias}) {
      TORCH_CHECK(!at::GradMode::is_enabled() || !tensor.requires_grad(), kWiredBlocks,
                  ": without keep_state there is no gradient: call it under torch.no_grad()");
    }
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    return wired_blocks(input, weight, structure, depthwise, norm_weight, norm_bias, mean, variance,
                        ends, targets, norm, eps, gradient, execution, gradient_rates, entry_stride,
                        false);
  }
  const auto out = Blocks::apply(input, weight, structure.vec(), depthwise, norm_weight, norm_bias,
                                 mean, variance, ends.vec(), targets.vec(), norm, eps, gradient,
                                 execution, gradient_rates, entry_stride);
  return {out[0], out[1], out[2], out[3]};
}

// Its derivative is not there: better no answer than 0.
struct BlocksBackward : torch::autograd::Function<BlocksBackward> {
  template <typename... Arguments>
  static variable_list forward(AutogradContext*, const Tensor& grad_output,
                               const Arguments&... arguments) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto grads = wired_blocks_backward(grad_output, arguments...);
    return {std::get<0>(grads), std::get<1>(grads), std::get<2>(grads), std::get<3>(grads),
            std::get<4>(grads)};
  }

  static variable_list backward(AutogradContext*, const variable_list&) {
    TORCH_CHECK(false, "wired_blocks_backward: has no derivative: wired_blocks can be ",
                "differentiated once");
  }
};

Gradients blocks_backward_autograd(const Tensor& grad_output, const Tensor& weight,
                                   at::TensorList structure, const Tensor& depthwise,
                                   const Tensor& norm_weight, const Tensor& norm_bias,
                                   const Tensor& mean, const Tensor& variance, const Tensor& state,
                                   const Tensor& input, at::IntArrayRef ends,
                                   at::IntArrayRef targets, std::string_view norm, double eps,
                                   std::string_view gradient, std::string_view execution,
                                   const Given& gradient_rates, int64_t entry_stride) {
  const auto grads = BlocksBackward::apply(
      grad_output, weight, structure, depthwise, norm_weight, norm_bias, mean, variance, state,
      input, ends, targets, norm, eps, gradient, execution, gradient_rates, entry_stride);
  return {grads[0], grads[1], grads[2], grads[3], grads[4]};
}

}  // namespace

Gradients wired_blocks_backward(const Tensor& grad_output, const Tensor& weight,
                                at::TensorList structure, const Tensor& depthwise,
                                const Tensor& norm_weight, const Tensor& norm_bias,
                                const Tensor& mean, const Tensor& variance, const Tensor& state,
                                const Tensor& input, at::IntArrayRef ends, at::IntArrayRef targets,
                                std::string_view norm, double eps, std::string_view gradient,
                                std::string_view execution, const Given& gradient_rates,
                                int64_t entry_stride) {
  static const auto op =
      find_op<decltype(backward_on<BlocksOnCpu>)>("rewire::wired_blocks_backward");
  return op.call(grad_output, weight, structure, depthwise, norm_weight, norm_bias, mean, variance,
                 state, input, ends, targets, norm, eps, gradient, execution, gradient_rates,
                 entry_stride);
}

Outputs wired_blocks(const Tensor& input, const Tensor& weight, at::TensorList structure,
                     const Tensor& depthwise, const Tensor& norm_weight, const Tensor& norm_bias,
                     const Given& mean, const Given& variance, at::IntArrayRef ends,
                     at::IntArrayRef targets, std::string_view norm, double eps,
                     std::string_view gradient, std::string_view execution,
                     const Given& gradient_rates, int64_t entry_stride, bool keep_state) {
  static const auto op = find_op<decltype(forward_on<BlocksOnCpu>)>("rewire::wired_blocks");
  return op.call(input, weight, structure, depthwise, norm_weight, norm_bias, mean, variance, ends,
                 targets, norm, eps, gradient, execution, gradient_rates, entry_stride, keep_state);
}

TORCH_LIBRARY_IMPL(rewire, CPU, m) {
  m.impl("wired_blocks", forward_on<BlocksOnCpu>);
  m.impl("wired_blocks_backward", backward_on<BlocksOnCpu>);
}
TORCH_LIBRARY_IMPL(rewire, Meta, m) {
  m.impl("wired_blocks", blocks_forward_meta);
  m.impl("wired_blocks_backward", blocks_backward_meta);
}
TORCH_LIBRARY_IMPL(rewire, Autograd, m) {
  m.impl("wired_blocks", blocks_forward_autograd);
  m.impl("wired_blocks_backward", blocks_backward_autograd);
}

}  // namespace rewire::ops
