// Mixup: a training image is a mean of two. Source: Zhang et al. 2018, arXiv 1710.09412.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "data/batch.h"

namespace rewire::train {

// How the images of one batch are mixed: with `share` of their own.
struct Mixture {
  double share = 1;
  at::Tensor partners;  // [batch] int64: the image that is mixed in
};

// The mixture of batch `index` of an epoch: share ~ Beta(alpha, alpha), partners a permutation.
// alpha > 0.
Mixture draw_mixture(uint64_t seed, int64_t epoch, int64_t index, int64_t size, double alpha);

// Images, and targets as probabilities [batch, classes]:
//   share x own + (1 - share) x the partner's
struct Mixed {
  at::Tensor images;
  at::Tensor targets;
};
Mixed mix(const data::Batch& batch, const Mixture& mixture, int64_t classes);

}  // namespace rewire::train
