#include "train/schedule.h"

#include <gtest/gtest.h>

#include "support/golden.h"

namespace rewire::train {
namespace {

// Of the base rate; the published code rounds differently in the last bits.
constexpr double kTolerance = 1e-9;

double number(const test::Golden& golden, const std::string& name) {
  return golden.at(name).item<double>();
}

Extent extent_of(const test::Golden& golden, const std::string& name) {
  return {.epochs = golden.at(name + ".num_epochs").item<int64_t>(),
          .batches = golden.at(name + ".batches").item<int64_t>(),
          .images = golden.at(name + ".images").item<int64_t>(),
          .batch_size = golden.at(name + ".batch_size").item<int64_t>()};
}

// Every step of schedules.pt's `name` against `schedule`; rates below `lowest` count as that.
void expect_published_steps(const std::string& name, const config::ScheduleDescription& schedule,
                            double lowest = -1) {
  const test::Golden golden = test::load_golden("schedules");
  const double base = number(golden, name + ".base_lr");
  const Extent extent = extent_of(golden, name);
  const at::Tensor rates = golden.at(name + ".lr");
  ASSERT_EQ(rates.numel(), extent.epochs * extent.batches);
  for (int64_t step = 0; step < rates.numel(); ++step) {
    const double published = std::max(rates[step].item<double>(), lowest);
    EXPECT_NEAR(learning_rate(schedule, base, extent, step), published, kTolerance * base)
        << name << ", step " << step;
  }
}

// The same for resnet_losses.pt, which has a rate an epoch: it holds for each of its steps.
void expect_published_epochs(const std::string& name, double base,
                             const config::ScheduleDescription& schedule) {
  const at::Tensor rates = test::load_golden("resnet_losses").at("lr_per_epoch." + name);
  const Extent extent{.epochs = rates.numel(), .batches = 3, .images = 50, .batch_size = 20};
  for (int64_t step = 0; step < extent.epochs * extent.batches; ++step) {
    EXPECT_NEAR(learning_rate(schedule, base, extent, step),
                rates[step / extent.batches].item<double>(), kTolerance * base)
        << name << ", step " << step;
  }
}

TEST(Schedule, MultistepAsPublished) {
  expect_published_steps("multistep", {.kind = "multistep", .milestones = {3, 5}, .gamma = 0.1});
}

TEST(Schedule, CosineAsPublished) {
  expect_published_steps("cosine", {.kind = "cosine"});
  expect_published_steps("cosine_long", {.kind = "cosine"});
}

TEST(Schedule, ExponentialAsPublished) {
  expect_published_steps("exp", {.kind = "exponential", .gamma = 0.97});
}

TEST(Schedule, LinearAsPublishedButNeverBelowZero) {
  expect_published_steps("linear", {.kind = "linear"});
  const at::Tensor rates = test::load_golden("schedules").at("linear_partial.lr");
  EXPECT_LT(rates.min().item<double>(), -1e-4);  // the published slip
  expect_published_steps("linear_partial", {.kind = "linear"}, /*lowest=*/0);
}

TEST(Schedule, WithWarmupAsPublished) {
  expect_published_epochs("cosine", 0.256, {.kind = "cosine", .per = "epoch", .warmup_epochs = 5});
  expect_published_epochs("linear", 0.1, {.kind = "linear", .per = "epoch", .warmup_epochs = 2});
  expect_published_epochs(
      "step", 0.1,
      {.kind = "multistep", .milestones = {30, 60, 80}, .gamma = 0.1, .warmup_epochs = 5});
}

TEST(Schedule, WarmupByIterationRisesAtEveryStep) {
  const config::ScheduleDescription schedule{.kind = "cosine", .warmup_epochs = 2};
  const Extent extent{.epochs = 4, .batches = 2, .images = 8, .batch_size = 4};
  const double expected[] = {0.25, 0.5, 0.75, 1.0};
  for (int64_t step = 0; step < 4; ++step) {
    EXPECT_DOUBLE_EQ(learning_rate(schedule, 1, extent, step), expected[step]);
  }
  EXPECT_LT(learning_rate(schedule, 1, extent, 4), 1);
  EXPECT_NEAR(learning_rate(schedule, 1, extent, 7), 0, 1e-15);
}

TEST(Schedule, ConstantStays) {
  const Extent extent{.epochs = 3, .batches = 5, .images = 5, .batch_size = 1};
  for (int64_t step = 0; step < 15; ++step) EXPECT_EQ(learning_rate({}, 0.3, extent, step), 0.3);
}

TEST(Schedule, AllOfTheTrainingMayBeWarmup) {
  const Extent extent{.epochs = 2, .batches = 1, .images = 1, .batch_size = 1};
  for (const std::string kind : {"cosine", "linear", "exponential", "constant"}) {
    const config::ScheduleDescription schedule{.kind = kind, .warmup_epochs = 4};
    EXPECT_EQ(learning_rate(schedule, 1, extent, 0), 0.25);
    EXPECT_EQ(learning_rate(schedule, 1, extent, 1), 0.5);
  }
}

}  // namespace
}  // namespace rewire::train
