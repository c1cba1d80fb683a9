// The generator that reference inputs come from, against vectors of it.
#include "support/formula.h"

#include <gtest/gtest.h>

#include "support/golden.h"

namespace {

using namespace rewire::test;

TEST(Formula, AgreesWithItsCheckVectors) {
  EXPECT_EQ(fnv1a32(""), 2166136261u);
  EXPECT_EQ(fnv1a32("a"), 3826002220u);
  EXPECT_EQ(hash32("graph.weight", 7, 0), 358543433u);
  EXPECT_EQ(hash32("graph.weight", 7, 2), 535153689u);
  const at::Tensor weight = formula_parameter("graph.weight", 7, {800, 800}, {1, 1});
  EXPECT_EQ(weight[0][0].item<float>(), -0.02945241890847683f);
  EXPECT_NEAR(weight.to(at::kDouble).sum().item<double>(), -12.982305285131957, 1e-9);
}

TEST(Formula, AgreesWithTheStoredTensorsOfEveryKind) {
  int64_t compared = 0;
  for (const auto& [key, expected] : load_golden("formula")) {
    if (!key.starts_with("tensor.") || key == "tensor.labels_of_10") continue;
    const std::string name = key.substr(7);
    const double sixty_fourth = 1.0 / 64;
    const at::Tensor actual = name == "input" ? formula_tensor(name, 7, expected.sizes(), 0, 2)
                                              : formula_parameter(name, 7, expected.sizes(),
                                                                  {sixty_fourth, sixty_fourth / 2});
    EXPECT_TRUE(same(actual, expected)) << key;
    ++compared;
  }
  EXPECT_GE(compared, 4);
}

}  // namespace
