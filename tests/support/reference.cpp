#include "support/reference.h"

#include <torch/torch.h>

#include <limits>
#include <vector>

namespace rewire::test {

using at::Tensor;

Tensor strongest(const Tensor& weight, int64_t keep) {
  const Tensor magnitude = weight.detach().to(torch::kDouble).abs().flatten();
  const Tensor by_strength = magnitude.argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
  const Tensor mask = torch::zeros(magnitude.sizes(), torch::kBool);
  mask.index_fill_(0, by_strength.slice(0, 0, keep), true);
  return mask.view(weight.sizes());
}

Tensor strongest_by_row(const Tensor& weight, int64_t keep) {
  std::vector<Tensor> masks;
  for (const Tensor& row : weight.unbind()) masks.push_back(strongest(row, keep));
  return masks.empty() ? torch::zeros(weight.sizes(), torch::kBool) : torch::stack(masks);
}

ops::Selection structure_of(const Tensor& weight, const Tensor& mask) {
  const auto offsets = [](const Tensor& counts) {
    return torch::cat({torch::zeros(1, torch::kLong), counts.cumsum(0)}).to(torch::kInt);
  };
  const Tensor edges = mask.nonzero();  // (output, input), by output
  const Tensor by_input = mask.t().nonzero();
  const Tensor position = mask.flatten().cumsum(0).view(mask.sizes()) - 1;
  const Tensor kept = weight.detach().abs().masked_select(mask);
  return {offsets(mask.sum(1)),
          edges.select(1, 1).to(torch::kInt),
          offsets(mask.sum(0)),
          by_input.select(1, 1).to(torch::kInt),
          position.t().masked_select(mask.t()).to(torch::kInt),
          kept.numel() > 0
              ? kept.amin()
              : torch::full({}, std::numeric_limits<double>::infinity(), kept.options())};
}

}  // namespace rewire::test
