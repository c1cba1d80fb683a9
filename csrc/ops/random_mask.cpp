// random_mask: a static random wiring. Contract: rewire.h.
//
// Run once, when a layer is made, so it is composed of other ops, on every device.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>
#include <torch/library.h>

#include "ops/check.h"
#include "ops/dispatch.h"
#include "ops/rewire.h"

namespace rewire::ops {
namespace {

using at::Tensor;

void check(const Tensor& draws, int64_t prune, const std::optional<Tensor>& impossible) {
  check_floating("random_mask", "draws", draws);
  check_count("random_mask", "prune", prune, draws.sym_numel());
  if (impossible) check_mask("random_mask", "impossible", *impossible, draws);
}

// A check of values would make a device wait: there, a negative draw and NaN count as 0.
Tensor random_mask_any(const Tensor& draws, int64_t prune,
                       const std::optional<Tensor>& impossible) {
  check(draws, prune, impossible);
  TORCH_CHECK(!draws.is_cpu() || draws.ge(0).all().item<bool>(),
              "random_mask: expected draws of at least 0, got a negative one or NaN");
  Tensor possible = draws.gt(0);
  if (impossible) possible = possible.logical_and(impossible->logical_not());
  return strongest_mask(at::where(possible, draws, 0), draws.numel() - prune)
      .logical_and(possible)
      .contiguous();
}

Tensor random_mask_meta(const Tensor& draws, int64_t prune,
                        const std::optional<Tensor>& impossible) {
  check(draws, prune, impossible);
  return at::empty_symint(draws.sym_sizes(), draws.options().dtype(at::kBool));
}

Tensor random_mask_autograd(const Tensor& draws, int64_t prune,
                            const std::optional<Tensor>& impossible) {
  at::AutoDispatchBelowADInplaceOrView no_gradient;
  return random_mask(draws, prune, impossible);
}

}  // namespace

Tensor random_mask(const Tensor& draws, int64_t prune, const std::optional<Tensor>& impossible) {
  static const auto op =
      find_op<Tensor(const Tensor&, int64_t, const std::optional<Tensor>&)>("rewire::random_mask");
  return op.call(draws, prune, impossible);
}

TORCH_LIBRARY_IMPL(rewire, CompositeExplicitAutograd, m) { m.impl("random_mask", random_mask_any); }
TORCH_LIBRARY_IMPL(rewire, Meta, m) { m.impl("random_mask", random_mask_meta); }
TORCH_LIBRARY_IMPL(rewire, Autograd, m) { m.impl("random_mask", random_mask_autograd); }

}  // namespace rewire::ops
