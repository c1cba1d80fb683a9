// ShuffleNetV2 against torchvision 0.26.0: logits of both in float32, the weights by formula.
#include "models/shufflenet_v2.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <stdexcept>

#include "support/golden_network.h"

namespace {

using namespace rewire;

models::Model build(double width, int64_t size) {
  return models::build(models::ShuffleNetV2Description{.width = width},
                       {3, size, std::vector<std::string>(1000, "class")}, 0);
}

TEST(ShuffleNetV2, AgreesWithTorchvision) {
  for (const auto& [name, width] :
       {std::pair("shufflenetv2_x0_5", 0.5), std::pair("shufflenetv2_x1_0", 1.0)}) {
    SCOPED_TRACE(name);
    const test::Golden golden = test::load_golden(name);
    models::Model model = build(width, 64);
    // Fails where a name or a shape is not torchvision's.
    test::load_formula(model, golden, {});
    int64_t matrices = 0;
    for (const auto& [key, tensor] : golden) matrices += key.starts_with("check.");
    for (const auto& item : model.module.named_parameters()) matrices -= item.value.dim() > 1;
    EXPECT_EQ(matrices, 0);
    test::expect_logits(model, golden);
    for (const auto& [key, tensor] : script::named_tensors(model.module)) {
      if (key == "conv5.1.running_var") {
        EXPECT_TRUE(test::close(tensor, golden.at("after." + key), 1e-5));
      }
    }
  }
}

// Where Ma et al. 2018 have 1.4 and 2.3 million parameters and 41 and 146 million
// multiply-accumulates for images of 224 pixels.
TEST(ShuffleNetV2, CountsItsWork) {
  const models::Model half = build(0.5, 224), whole = build(1, 224);
  EXPECT_EQ(models::count_parameters(half), 1366792);
  EXPECT_EQ(models::count_parameters(whole), 2278604);
  EXPECT_EQ(models::count_macs(half), 40476448);
  EXPECT_EQ(models::count_macs(whole), 144907992);
  // The layers by hand: 27 weights for each of 24 channels at 112x112 places.
  EXPECT_EQ(half.layers.front().name, "conv1.0");
  EXPECT_EQ(half.layers.front().macs, 27 * 24 * 112 * 112);
  EXPECT_EQ(half.layers[1].name, "stage2.0.branch1.0");
  EXPECT_EQ(half.layers[1].macs, 9 * 24 * 28 * 28);
  EXPECT_EQ(half.layers.back().name, "fc");
  EXPECT_EQ(half.layers.back().macs, 1024 * 1000);
}

TEST(ShuffleNetV2, RefusesAWidthThatIsNotPublished) {
  at::Generator generator = at::detail::createCPUGenerator(0);
  EXPECT_THROW(models::build_shufflenet_v2({.width = 0.7}, {3, 32, {"a"}}, generator),
               std::invalid_argument);
}

}  // namespace
