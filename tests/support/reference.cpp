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

Tensor matrix_of(const Tensor& values, const Tensor& row_offsets, const Tensor& columns,
                 int64_t in_channels) {
  const Tensor counts = row_offsets.diff().to(torch::kLong);
  const Tensor rows = torch::arange(counts.numel()).repeat_interleave(counts);
  return torch::zeros({counts.numel(), in_channels}, values.options())
      .index_put({rows, columns.to(torch::kLong)}, values);
}

Tensor multiply(const Tensor& matrix, const Tensor& input, const std::optional<Tensor>& bias) {
  const bool half = input.scalar_type() == torch::kHalf || input.scalar_type() == torch::kBFloat16;
  const auto dtype = half ? torch::kFloat : input.scalar_type();
  std::vector<int64_t> sizes = input.sizes().vec();
  int64_t places = 1;
  for (size_t i = 2; i < sizes.size(); ++i) places *= sizes[i];
  Tensor out =
      torch::matmul(matrix.to(dtype), input.to(dtype).reshape({sizes[0], sizes[1], places}));
  if (bias) out = out + bias->to(dtype).view({-1, 1});
  sizes[1] = matrix.size(0);
  return out.to(input.scalar_type()).reshape(sizes);
}

Tensor straight_through(const Tensor& all, const Tensor& kept) {
  return all + (kept - all).detach();
}

std::vector<Tensor> wired_blocks(const WiredBlocks& b, const Tensor& input) {
  const auto per_channel = [](const Tensor& t) { return t.view({1, -1, 1, 1}); };
  const int64_t unread = b.effective.size(1) - b.norm_weight.size(0);
  std::vector<Tensor> means, variances;
  int64_t parameter = 0;
  // What a block sends of x, to channels from `target` on.
  const auto sent = [&](const Tensor& x, int64_t target, int64_t stride) {
    const int64_t begin = parameter, end = begin + x.size(1);
    parameter = end;
    const auto dims = b.of_batch ? std::vector<int64_t>{0, 2, 3} : std::vector<int64_t>{2, 3};
    const Tensor mean = b.mean ? per_channel(b.mean->slice(0, begin, end)) : x.mean(dims, true);
    const Tensor variance = b.variance ? per_channel(b.variance->slice(0, begin, end))
                                       : (x - mean).square().mean(dims, true);
    means.push_back(mean.detach().flatten(b.of_batch ? 0 : 1));
    variances.push_back(variance.detach().flatten(b.of_batch ? 0 : 1));
    const Tensor a =
        (x - mean) / (variance + b.eps).sqrt() * per_channel(b.norm_weight.slice(0, begin, end)) +
        per_channel(b.norm_bias.slice(0, begin, end));
    const Tensor z = a.numel() == 0
                         ? a.slice(2, 0, a.size(2), stride).slice(3, 0, a.size(3), stride)
                         : torch::conv2d(a.relu(), b.depthwise.slice(0, begin, end), {}, stride, 1,
                                         1, end - begin);
    return multiply(b.effective.slice(0, target).slice(1, unread + begin, unread + end), z, {});
  };
  Tensor state;
  if (b.entry_stride > 0) {
    state = sent(input, 0, b.entry_stride);
  } else {
    const int64_t rest = b.effective.size(0) - input.size(1);
    state = torch::cat(
        {input, torch::zeros({input.size(0), rest, input.size(2), input.size(3)}, input.options())},
        1);
  }
  int64_t begin = 0;
  for (size_t i = 0; i < b.ends.size(); ++i) {
    const int64_t target = b.targets[i];
    const Tensor received =
        state.slice(1, target) + sent(state.slice(1, begin, b.ends[i]), target, 1);
    state = i + 1 < b.ends.size() ? torch::cat({state.slice(1, 0, target), received}, 1) : received;
    begin = b.ends[i];
  }
  if (b.mean) return {state, at::empty({0}, input.options()), at::empty({0}, input.options())};
  return {state, torch::cat(means, -1), torch::cat(variances, -1)};
}

}  // namespace rewire::test
