// random_mask: a static random wiring. Contract: rewire.h.
//
// Run once, when a layer is made, so it is composed of other ops and has no kernel of its own.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/check.h"
#include "ops/dispatch.h"
#include "ops/rewire.h"
#include "ops/strongest.h"

namespace rewire::ops {
namespace {

using at::Tensor;

void check(const Tensor& draws, int64_t prune, const std::optional<Tensor>& impossible) {
  check_floating("random_mask", "draws", draws);
  check_count("random_mask", "prune", prune, draws.sym_numel());
  if (impossible) check_mask("random_mask", "impossible", *impossible, draws);
}

Tensor random_mask_cpu(const Tensor& draws, int64_t prune,
                       const std::optional<Tensor>& impossible) {
  check(draws, prune, impossible);
  TORCH_CHECK(draws.ge(0).all().item<bool>(),
              "random_mask: expected draws of at least 0, got a negative one or NaN");
  const Tensor possible = impossible ? draws.masked_fill(*impossible, 0) : draws;
  return mask_of_strongest("random_mask", possible, draws.numel() - prune)
      .logical_and_(possible.gt(0));
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

TORCH_LIBRARY_IMPL(rewire, CPU, m) { m.impl("random_mask", random_mask_cpu); }
TORCH_LIBRARY_IMPL(rewire, Meta, m) { m.impl("random_mask", random_mask_meta); }
TORCH_LIBRARY_IMPL(rewire, Autograd, m) { m.impl("random_mask", random_mask_autograd); }

}  // namespace rewire::ops
