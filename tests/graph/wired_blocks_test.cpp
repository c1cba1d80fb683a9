#include "graph/wired_blocks.h"

#include <gtest/gtest.h>

#include <numeric>

namespace {

using namespace rewire::graph;
using Matrix = std::vector<uint8_t>;

TEST(StaticBlocks, SplitThePublishedNetworkAsPublished) {
  const auto blocks = static_blocks(800, 5, 32, 100);
  ASSERT_EQ(blocks.size(), 5u);
  const int64_t begins[] = {0, 32, 224, 416, 608}, ends[] = {32, 224, 416, 608, 800};
  const int64_t targets[] = {32, 224, 416, 608, 700};
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(blocks[i].begin, begins[i]);
    EXPECT_EQ(blocks[i].end, ends[i]);
    EXPECT_EQ(blocks[i].target, targets[i]);
  }
}

TEST(ReadableEdges, AreThoseFromABlockToWhatComesAfterIt) {
  const auto blocks = static_blocks(3, 2, 1, 1);            // {0} -> 1, 2 and {1, 2} -> 2
  EXPECT_EQ(readable_edges(3, 3, blocks), (Matrix{0, 0, 0,  //
                                                  1, 0, 0,  //
                                                  1, 1, 1}));
}

TEST(ReadableEdges, AreFortyOnePerCentOfThePublishedMatrix) {
  const Matrix readable = readable_edges(800, 800, static_blocks(800, 5, 32, 100));
  EXPECT_EQ(std::accumulate(readable.begin(), readable.end(), int64_t{0}),
            32 * 768 + 192 * 576 + 192 * 384 + 192 * 192 + 192 * 100);
}

TEST(StageBlocks, SendTheInputToAllAndEachConvolutionToThoseBehindIt) {
  EXPECT_EQ(readable_edges(6, 5, stage_blocks(1, 2, 3)), (Matrix{1, 0, 0, 0, 0,  //
                                                                 1, 0, 0, 0, 0,  //
                                                                 1, 1, 1, 0, 0,  //
                                                                 1, 1, 1, 0, 0,  //
                                                                 1, 1, 1, 1, 1,  //
                                                                 1, 1, 1, 1, 1}));
  EXPECT_EQ(stage_blocks(3, 4, 1).size(), 1u);
}

// What the published rule forbids a random layer are exactly the edges that a stage does not read.
TEST(StageBlocks, ReadAllButTheImpossibleEdges) {
  const Matrix readable = readable_edges(12, 11, stage_blocks(3, 4, 3));
  const Matrix impossible = impossible_edges(12, 11, 3, 4);
  for (size_t i = 0; i < readable.size(); ++i) EXPECT_NE(readable[i], impossible[i]) << i;
}

TEST(ImpossibleEdges, GrowByOneGroupOfOutputsForEachGroupOfInputs) {
  EXPECT_EQ(impossible_edges(3, 5, 1, 2), (Matrix{0, 1, 1, 1, 1,  //
                                                  0, 1, 1, 1, 1,  //
                                                  0, 0, 0, 1, 1}));
}

TEST(ImpossibleEdges, AreNoneWithoutGivenChannels) {
  EXPECT_EQ(impossible_edges(2, 3, 0, 0), Matrix(6, 0));
}

TEST(ImpossibleEdges, AreNoneWhereAllInputsComeFirst) {
  EXPECT_EQ(impossible_edges(2, 3, 3, 1), Matrix(6, 0));
}

}  // namespace
