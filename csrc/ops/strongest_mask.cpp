// strongest_mask: the choice of `select`, as a mask. Contract: rewire.h.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/check.h"
#include "ops/dispatch.h"
#include "ops/outputs.h"
#include "ops/rewire.h"
#include "ops/strongest.h"

namespace rewire::ops {
namespace {

using at::Tensor;

void check(const Tensor& weight, int64_t keep) {
  check_floating("strongest_mask", "weight", weight);
  check_count("strongest_mask", "keep", keep, weight.sym_numel());
}

Tensor strongest_mask_cpu(const Tensor& weight, int64_t keep) {
  check(weight, keep);
  return mask_of_strongest("strongest_mask", weight, keep);
}

Tensor strongest_mask_autograd(const Tensor& weight, int64_t keep) {
  at::AutoDispatchBelowADInplaceOrView no_gradient;
  return strongest_mask(weight, keep);
}

}  // namespace

Tensor allocate_strongest_mask(const Tensor& weight, int64_t keep) {
  check(weight, keep);
  return at::empty_symint(weight.sym_sizes(), weight.options().dtype(at::kBool));
}

Tensor strongest_mask(const Tensor& weight, int64_t keep) {
  static const auto op = find_op<Tensor(const Tensor&, int64_t)>("rewire::strongest_mask");
  return op.call(weight, keep);
}

TORCH_LIBRARY_IMPL(rewire, CPU, m) { m.impl("strongest_mask", strongest_mask_cpu); }
TORCH_LIBRARY_IMPL(rewire, Meta, m) { m.impl("strongest_mask", allocate_strongest_mask); }
TORCH_LIBRARY_IMPL(rewire, Autograd, m) { m.impl("strongest_mask", strongest_mask_autograd); }

}  // namespace rewire::ops
