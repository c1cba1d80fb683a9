// targeted_dropout: a weight with some of its weakest entries dropped. Contract: rewire.h.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/cpu/keep_strongest.h"
#include "ops/check.h"
#include "ops/dispatch.h"
#include "ops/outputs.h"
#include "ops/rewire.h"
#include "ops/strongest.h"

namespace rewire::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Draws = std::optional<Tensor>;

void check(const Tensor& weight, int64_t candidates, bool per_row, const Draws& draws,
           double drop_rate) {
  check_floating("targeted_dropout", "weight", weight);
  TORCH_CHECK(weight.dim() >= 2, "targeted_dropout: expected weight of shape [out, ...], got ",
              weight.sym_sizes());
  c10::SymInt most = weight.sym_numel();
  if (per_row) {
    most = 1;
    for (const auto& size : weight.sym_sizes().slice(1)) most *= size;
  }
  check_count("targeted_dropout", "candidates", candidates, most);
  TORCH_CHECK(drop_rate >= 0 && drop_rate <= 1,
              "targeted_dropout: expected drop_rate in [0, 1], got ", drop_rate);
  if (draws) {
    check_floating("targeted_dropout", "draws", *draws);
    check_like("targeted_dropout", "draws", *draws, weight);
  }
}

// True for the entries that are no candidates, in each row by itself.
Tensor mask_of_strongest_by_row(const Tensor& weight, int64_t candidates) {
  const Tensor mask = at::empty(weight.sizes(), weight.options().dtype(at::kBool));
  if (weight.numel() == 0) return mask;
  const int64_t num_rows = weight.size(0);
  const int64_t width = weight.numel() / num_rows;
  const Tensor dense = weight.contiguous();
  with_magnitudes(dense, [&](const auto& magnitudes) {
    refuse_nan("targeted_dropout", magnitudes, num_rows, 0, magnitudes.count);
    at::parallel_for(0, num_rows, 1, [&](int64_t first, int64_t last) {
      for (int64_t begin = first * width; begin < last * width; begin += width) {
        const int64_t end = begin + width;
        const auto cut = kernels::cut_of_range(magnitudes, begin, end, width - candidates);
        kernels::strongest_mask(magnitudes, cut, begin, end, mask.mutable_data_ptr<bool>());
      }
    });
  });
  return mask;
}

Tensor mask_cpu(const Tensor& weight, int64_t candidates, bool per_row, const Draws& draws,
                double drop_rate) {
  check(weight, candidates, per_row, draws, drop_rate);
  return left_by_draws(
      per_row ? mask_of_strongest_by_row(weight, candidates)
              : mask_of_strongest("targeted_dropout", weight, weight.numel() - candidates),
      draws, drop_rate);
}

Tensor mask_of(const Tensor& weight, int64_t candidates, bool per_row, const Draws& draws,
               double drop_rate) {
  static const auto op = find_op<Tensor(const Tensor&, int64_t, bool, const Draws&, double)>(
      "rewire::targeted_dropout_mask");
  return op.call(weight, candidates, per_row, draws, drop_rate);
}

Tensor mask_autograd(const Tensor& weight, int64_t candidates, bool per_row, const Draws& draws,
                     double drop_rate) {
  at::AutoDispatchBelowADInplaceOrView no_gradient;
  return mask_of(weight, candidates, per_row, draws, drop_rate);
}

// The rest is composed of ops that every device has, but Meta, where C++ has no `where`.
Tensor apply_mask(const Tensor& weight, const Tensor& mask, bool keep_sign) {
  if (weight.is_meta()) return at::empty_symint(weight.sym_sizes(), weight.options());
  return at::where(mask, keep_sign ? weight : weight.abs(), 0).contiguous();
}

Tensor targeted_dropout_any(const Tensor& weight, int64_t candidates, bool per_row,
                            const Draws& draws, double drop_rate, bool keep_sign) {
  return apply_mask(weight, mask_of(weight, candidates, per_row, draws, drop_rate), keep_sign);
}

Tensor dropout_backward_any(const Tensor& grad_output, const Tensor& weight, const Tensor& mask,
                            bool keep_sign) {
  check_floating("targeted_dropout_backward", "grad_output", grad_output);
  check_like("targeted_dropout_backward", "weight", weight, grad_output);
  check_dtype("targeted_dropout_backward", "weight", weight, grad_output);
  check_mask("targeted_dropout_backward", "mask", mask, grad_output);
  return apply_mask(keep_sign ? grad_output : grad_output.mul(weight.sign()), mask, true);
}

Tensor backward_of(const Tensor& grad_output, const Tensor& weight, const Tensor& mask,
                   bool keep_sign) {
  static const auto op = find_op<Tensor(const Tensor&, const Tensor&, const Tensor&, bool)>(
      "rewire::targeted_dropout_backward");
  return op.call(grad_output, weight, mask, keep_sign);
}

// Linear in grad_output, and so its own derivative; piecewise constant in weight.
struct TargetedDropoutBackward : torch::autograd::Function<TargetedDropoutBackward> {
  static Tensor forward(AutogradContext* ctx, const Tensor& grad_output, const Tensor& weight,
                        const Tensor& mask, bool keep_sign) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    ctx->save_for_backward({weight, mask});
    ctx->saved_data["keep_sign"] = keep_sign;
    return backward_of(grad_output, weight, mask, keep_sign);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const bool keep_sign = ctx->saved_data["keep_sign"].toBool();
    return {backward_of(grads[0], saved[0], saved[1], keep_sign), Tensor(), Tensor(), Tensor()};
  }
};

struct TargetedDropout : torch::autograd::Function<TargetedDropout> {
  static Tensor forward(AutogradContext* ctx, const Tensor& weight, int64_t candidates,
                        bool per_row, const Draws& draws, double drop_rate, bool keep_sign) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    const Tensor mask = mask_of(weight, candidates, per_row, draws, drop_rate);
    ctx->save_for_backward({weight, mask});
    ctx->saved_data["keep_sign"] = keep_sign;
    return apply_mask(weight, mask, keep_sign);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const bool keep_sign = ctx->saved_data["keep_sign"].toBool();
    return {backward_of(grads[0], saved[0], saved[1], keep_sign),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor()};
  }
};

Tensor targeted_dropout_autograd(const Tensor& weight, int64_t candidates, bool per_row,
                                 const Draws& draws, double drop_rate, bool keep_sign) {
  return TargetedDropout::apply(weight, candidates, per_row, draws, drop_rate, keep_sign);
}

Tensor dropout_backward_autograd(const Tensor& grad_output, const Tensor& weight,
                                 const Tensor& mask, bool keep_sign) {
  return TargetedDropoutBackward::apply(grad_output, weight, mask, keep_sign);
}

}  // namespace

Tensor allocate_targeted_dropout_mask(const Tensor& weight, int64_t candidates, bool per_row,
                                      const Draws& draws, double drop_rate) {
  check(weight, candidates, per_row, draws, drop_rate);
  return at::empty_symint(weight.sym_sizes(), weight.options().dtype(at::kBool));
}

Tensor left_by_draws(const Tensor& no_candidates, const Draws& draws, double drop_rate) {
  if (!draws) return no_candidates;
  return no_candidates.logical_or(draws->lt(drop_rate).logical_not_()).contiguous();
}

Tensor targeted_dropout(const Tensor& weight, int64_t candidates, bool per_row, const Draws& draws,
                        double drop_rate, bool keep_sign) {
  static const auto op = find_op<Tensor(const Tensor&, int64_t, bool, const Draws&, double, bool)>(
      "rewire::targeted_dropout");
  return op.call(weight, candidates, per_row, draws, drop_rate, keep_sign);
}

TORCH_LIBRARY_IMPL(rewire, CPU, m) { m.impl("targeted_dropout_mask", mask_cpu); }
TORCH_LIBRARY_IMPL(rewire, Meta, m) {
  m.impl("targeted_dropout_mask", allocate_targeted_dropout_mask);
}
TORCH_LIBRARY_IMPL(rewire, CompositeExplicitAutograd, m) {
  m.impl("targeted_dropout", targeted_dropout_any);
  m.impl("targeted_dropout_backward", dropout_backward_any);
}
TORCH_LIBRARY_IMPL(rewire, Autograd, m) {
  m.impl("targeted_dropout", targeted_dropout_autograd);
  m.impl("targeted_dropout_mask", mask_autograd);
  m.impl("targeted_dropout_backward", dropout_backward_autograd);
}

}  // namespace rewire::ops
