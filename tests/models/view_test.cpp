// Which node each edge of a drawing leaves and reaches.
#include "models/view.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace {

using namespace rewire;

models::Model small(const std::string& kind, double prune_rate = 0) {
  models::SmallDescription description{.kind = kind,
                                       .dim = 12,
                                       .layers = 3,
                                       .downsample_dim = 4,
                                       .feature_dim = 2,
                                       .stem = "single",
                                       .pool = "global"};
  description.wiring.kind = prune_rate == 0 ? "complete" : "dnw";
  description.wiring.prune_rate = prune_rate;
  return models::build(description, data::image_spec({.kind = "digits"}), 1);
}

graph::WiringView view(const models::Model& model, int64_t most = 1 << 20) {
  return models::view_of(model, model.wirings.at(0), most);
}

std::vector<int64_t> sizes(const graph::WiringView& view) {
  std::vector<int64_t> found;
  for (const graph::WiringColumn& column : view.columns) found.push_back(column.size);
  return found;
}

int64_t edges_between(const graph::WiringView& view, int64_t first_source, int64_t last_source,
                      int64_t first_target, int64_t last_target) {
  return std::ranges::count_if(view.edges, [&](const graph::WiringEdge& edge) {
    return edge.source >= first_source && edge.source < last_source &&
           edge.target >= first_target && edge.target < last_target;
  });
}

// Three blocks of 4 channels, of which the first sends to all behind it; 2 outputs.
TEST(ViewOf, BlocksOfOneStateHandOn) {
  const auto drawn = view(small("static"));
  EXPECT_EQ(sizes(drawn), (std::vector<int64_t>{4, 4, 4, 2}));
  EXPECT_EQ(drawn.subtitle, "56 edges in use");
  EXPECT_EQ(edges_between(drawn, 0, 4, 4, 12), 4 * 8);    // block 1 to the state behind it
  EXPECT_EQ(edges_between(drawn, 4, 8, 8, 12), 4 * 4);    // block 2
  EXPECT_EQ(edges_between(drawn, 8, 12, 12, 14), 4 * 2);  // block 3 to the output
  EXPECT_EQ(drawn.edges.size(), 56u);
}

TEST(ViewOf, AStateThatIsAppliedAgainIsDrawnTwice) {
  const auto drawn = view(small("discrete"));
  EXPECT_EQ(sizes(drawn), (std::vector<int64_t>{12, 12}));
  EXPECT_EQ(edges_between(drawn, 0, 12, 12, 24), 12 * 12);
}

// The first stage of MobileNetV1: 32 channels in, 64 out, one convolution.
TEST(ViewOf, AStageReceivesBehindWhatItReads) {
  models::WiredMobileNetV1Description description;
  description.wiring.kind = "complete";
  const auto model = models::build(description, data::image_spec({.kind = "digits"}), 1);
  EXPECT_EQ(sizes(view(model)), (std::vector<int64_t>{32, 64}));
  EXPECT_EQ(edges_between(view(model), 0, 32, 32, 96), 32 * 64);
  const auto second = models::view_of(model, model.wirings.at(1), 1 << 20);
  EXPECT_EQ(sizes(second), (std::vector<int64_t>{64, 128, 128}));
  EXPECT_EQ(edges_between(second, 0, 64, 64, 320), 64 * 256);      // the input to both convolutions
  EXPECT_EQ(edges_between(second, 64, 192, 192, 320), 128 * 128);  // the first to the second
  EXPECT_EQ(second.edges.size(), 64u * 256 + 128 * 128);
}

TEST(ViewOf, GivesTheStrongestEdges) {
  const models::Model model = small("static", 0.5);
  const auto all = view(model), some = view(model, 5);
  ASSERT_GT(all.edges.size(), 5u);
  ASSERT_EQ(some.edges.size(), 5u);
  EXPECT_EQ(some.subtitle,
            "the strongest 5 of " + std::to_string(all.edges.size()) + " edges in use");
  std::vector<float> strengths;
  for (const auto& edge : all.edges) strengths.push_back(std::abs(edge.weight));
  std::ranges::sort(strengths, std::greater<>());
  for (const auto& edge : some.edges) EXPECT_GE(std::abs(edge.weight), strengths[4]);
}

}  // namespace
