// The plain MobileNetV1 against the published code.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "support/golden_network.h"

namespace {

using namespace rewire;

TEST(MobileNetV1, AgreesWithThePublishedNetwork) {
  const test::Golden golden = test::load_golden("mobilenetv1_x025");
  models::Model model = models::build(models::MobileNetV1Description{.width = 0.25},
                                      {3, 32, std::vector<std::string>(10, "class")}, 0);
  test::load_formula(model, golden, {});
  // Measured against float64: the last norms see 16 values.
  test::expect_network(model, golden, {.train_logits = 2e-4, .gradient = 5e-4, .statistics = 5e-5});
}

TEST(MobileNetV1, CountsItsWork) {
  // Where Howard et al. 2017, table 8, has 0.5 million parameters and 41 million
  // multiply-accumulates for images of 224 pixels.
  const models::Model model = models::build(models::MobileNetV1Description{.width = 0.25},
                                            {3, 224, std::vector<std::string>(1000, "class")}, 0);
  EXPECT_NEAR(double(models::count_parameters(model)), 0.47e6, 0.01e6);
  EXPECT_NEAR(double(models::count_macs(model)), 41e6, 1e6);
}

}  // namespace
