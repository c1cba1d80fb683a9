// Which way `auto` takes, and what measuring it leaves alone.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "ops/rewire.h"
#include "support/golden.h"

namespace {

using namespace rewire;

TEST(FasterExecution, IsOneOfTheTwoAndStays) {
  for (const double density : {0.0, 0.05, 0.5, 1.0}) {
    const std::string first = ops::faster_execution(density);
    EXPECT_TRUE(first == "sparse" || first == "dense");
    EXPECT_EQ(ops::faster_execution(density), first);
  }
  EXPECT_EQ(ops::faster_execution(0), "sparse");
}

TEST(FasterExecution, DrawsNoRandomNumber) {
  torch::manual_seed(1);
  const at::Tensor expected = torch::rand({4});
  torch::manual_seed(1);
  ops::faster_execution(0.5);
  EXPECT_TRUE(test::same(torch::rand({4}), expected));
}

}  // namespace
