#include "train/mixup.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "support/golden.h"

namespace rewire::train {
namespace {

using at::Tensor;

TEST(Mixup, MixesAsPublished) {
  const test::Golden golden = test::load_golden("resnet_losses");
  const data::Batch batch{golden.at("image"), golden.at("labels"), 0};
  const Mixed mixed = mix(
      batch, {golden.at("mixup.c").item<double>(), golden.at("mixup.permutation")}, /*classes=*/10);
  EXPECT_TRUE(test::close(mixed.images, golden.at("mixup.image"), 1e-6));
  EXPECT_TRUE(test::close(mixed.targets, golden.at("mixup.target"), 1e-6));
}

TEST(Mixup, IsAFunctionOfSeedEpochAndBatch) {
  const auto draw = [](uint64_t seed, int64_t epoch, int64_t index) {
    return draw_mixture(seed, epoch, index, 50, 0.2);
  };
  const Mixture first = draw(3, 1, 7), again = draw(3, 1, 7);
  EXPECT_EQ(first.share, again.share);
  EXPECT_TRUE(test::same(first.partners, again.partners));
  EXPECT_TRUE(test::same(std::get<0>(first.partners.sort()), torch::arange(50)));
  for (const Mixture& other : {draw(4, 1, 7), draw(3, 2, 7), draw(3, 1, 8)}) {
    EXPECT_NE(other.share, first.share);
    EXPECT_FALSE(at::equal(other.partners, first.partners));
  }
}

TEST(Mixup, OfASingleImageIsThatImage) {
  const data::Batch batch{torch::rand({1, 3, 2, 2}), torch::tensor({1}), 0};
  const Mixed mixed = mix(batch, draw_mixture(0, 0, 0, 1, 0.3), 3);
  EXPECT_TRUE(test::close(mixed.images, batch.images, 1e-6));
  EXPECT_TRUE(test::close(mixed.targets, torch::tensor({{0.f, 1.f, 0.f}}), 1e-6));
}

}  // namespace
}  // namespace rewire::train
