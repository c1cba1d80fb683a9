#include "train/mixup.h"

#include <ATen/ATen.h>

#include "data/random.h"

namespace rewire::train {

Mixture draw_mixture(uint64_t seed, int64_t epoch, int64_t index, int64_t size, double alpha) {
  data::Random random(seed, epoch, index, data::Purpose::mixup);
  const double share = data::beta(random, alpha);
  return {share, at::tensor(data::permutation(random, size), at::kLong)};
}

Mixed mix(const data::Batch& batch, const Mixture& mixture, int64_t classes) {
  const auto mixed = [&](const at::Tensor& own) {
    return own * mixture.share + own.index_select(0, mixture.partners) * (1 - mixture.share);
  };
  return {mixed(batch.images), mixed(at::one_hot(batch.labels, classes).to(at::kFloat))};
}

}  // namespace rewire::train
