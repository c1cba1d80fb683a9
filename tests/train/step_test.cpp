#include "train/step.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "support/golden.h"
#include "train/forward.h"
#include "train/mixup.h"

namespace rewire::train {
namespace {

using at::Tensor;

// A network without anything that depends on a batch as a whole.
config::Experiment experiment(const std::string& accumulate) {
  return config::parse(R"(name: small
data:
  kind: digits
  normalize: {mean: [0.3], std: [0.4]}
model:
  kind: static
  dim: 20
  layers: 3
  downsample_dim: 4
  feature_dim: 6
  stem: single
  pool: global
  wiring: {kind: dnw, prune_rate: 0.5}
training:
  epochs: 4
  batch_size: 2
  optimizer: {kind: sgd, lr: 0.5}
  schedule: {kind: cosine}
  accumulate: )" + accumulate,
                       "small.yaml");
}

const data::ImageSpec kDigits = data::image_spec({.kind = "digits"});

std::vector<data::Batch> batches(int64_t count) {
  torch::manual_seed(4);
  std::vector<data::Batch> made;
  for (int64_t i = 0; i < count; ++i) {
    made.push_back({torch::randn({2, 1, 8, 8}), torch::tensor({i % 10, (i + 3) % 10}), i});
  }
  return made;
}

std::map<std::string, Tensor> parameters(const RunState& state) {
  std::map<std::string, Tensor> copies;
  for (const auto& item : state.model.module.named_parameters()) {
    copies[item.name] = item.value.detach().clone();
  }
  return copies;
}

// Of five batches, steps of two, two and one.
TEST(Step, TakesTheMeanGradientOfItsBatches) {
  const config::Experiment two = experiment("2");
  RunState state(two, models::build(two.model, kDigits, 0));
  models::Model by_hand = models::build(two.model, kDigits, 0);
  const Peers none;
  GradientMean alone(none, {});
  const Extent extent{.epochs = 4, .batches = 5, .images = 10, .batch_size = 2};
  const auto data = batches(5);
  for (size_t first : {0, 2, 4}) {
    const size_t last = std::min<size_t>(first + 1, 4);
    std::map<std::string, Tensor> gradients;
    for (size_t i = first; i <= last; ++i) {
      for (Tensor parameter : by_hand.module.parameters()) parameter.mutable_grad() = Tensor();
      forward(by_hand, data[i].images, data[i].labels, {}, "here").loss.backward();
      for (const auto& item : by_hand.module.named_parameters()) {
        Tensor& sum = gradients[item.name];
        const Tensor own = item.value.grad() / double(last - first + 1);
        sum = sum.defined() ? sum + own : own;
      }
      const auto before = parameters(state);
      learn_from(data[i], two, kDigits, extent, alone, state);
      EXPECT_EQ(state.batch_in_epoch, int64_t(i) + 1);
      const bool moved = !at::equal(parameters(state).at("fc.bias"), before.at("fc.bias"));
      EXPECT_EQ(moved, i == last);
    }
    // The first epoch's steps 1, 2 and 3 of 12.
    const double rate = 0.25 * (1 + std::cos(M_PI * double(first / 2 + 1) / 12));
    const at::NoGradGuard no_grad;
    for (const auto& item : by_hand.module.named_parameters()) {
      at::Tensor(item.value).sub_(gradients.at(item.name), rate);
      EXPECT_TRUE(test::close(parameters(state).at(item.name), item.value, 1e-5)) << item.name;
    }
  }
  EXPECT_EQ(state.sums.images(), 10);
}

TEST(Step, HasARateAndABatchHasThatOfItsStep) {
  const config::Experiment three = experiment("3");
  const Extent extent{.epochs = 4, .batches = 7, .images = 14, .batch_size = 2};
  const auto cosine = [](int64_t step) { return 0.25 * (1 + std::cos(M_PI * (step + 1) / 12)); };
  for (int64_t batch = 0; batch < 7; ++batch) {
    EXPECT_DOUBLE_EQ(rate_of(batch, three, extent, 0), cosine(batch / 3));
    EXPECT_DOUBLE_EQ(rate_of(batch, three, extent, 2), cosine(6 + batch / 3));
  }
}

TEST(Step, CountsMixedImagesByTheirOwnLabels) {
  config::Experiment mixing = experiment("1");
  mixing.training.mixup = 1;
  RunState state(mixing, models::build(mixing.model, kDigits, 0));
  const Extent extent{.epochs = 4, .batches = 1, .images = 2, .batch_size = 2};
  const data::Batch batch = batches(1)[0];
  const Mixture mixture = draw_mixture(0, 0, 0, 2, 1);
  const Mixed mixed = mix(batch, mixture, 10);
  models::Model same = models::build(mixing.model, kDigits, 0);
  const Peers none;
  GradientMean alone(none, {});
  const Forward answer = forward(same, mixed.images, mixed.targets, {}, "here");
  learn_from(batch, mixing, kDigits, extent, alone, state);
  EXPECT_EQ(state.sums.loss(), answer.value);
  Sums own(mixing.training.topk);
  own.add(answer.value, answer.logits.detach(), batch.labels);
  EXPECT_EQ(state.sums.json(), own.json());
}

}  // namespace
}  // namespace rewire::train
