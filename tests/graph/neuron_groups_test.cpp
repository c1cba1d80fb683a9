#include "graph/neuron_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using namespace rewire::graph;
using testing::ElementsAre;

int64_t never(int64_t) {
  ADD_FAILURE() << "nothing is to be drawn";
  return 0;
}

TEST(NeuronGroups, ReadWholeGroupsInTheOrderTheyAreNamed) {
  const std::vector<NeuronGroup> groups = {{.name = "a", .neurons = 2, .from = {kInputs}},
                                           {.name = "b", .from = {"a", kInputs}}};
  const NeuronEdges edges = edges_of(groups, 3, never);  // neurons 0 to 2, 3 and 4, and 5
  EXPECT_THAT(edges.sources, ElementsAre(0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2));
  EXPECT_THAT(edges.targets, ElementsAre(3, 3, 3, 4, 4, 4, 5, 5, 5, 5, 5));
  EXPECT_EQ(count_edges(groups, 3), 11);
}

TEST(NeuronGroups, DrawTheirSourcesAmongAllGroupsTheyRead) {
  const std::vector<NeuronGroup> groups = {
      {.name = "a", .neurons = 2, .from = {kInputs}, .fan_in = 1},
      {.name = "b", .neurons = 2, .from = {kInputs, "a"}, .fan_in = 3}};
  std::vector<int64_t> bounds;
  int64_t next = 0;
  const NeuronEdges edges = edges_of(groups, 2, [&](int64_t bound) {
    bounds.push_back(bound);
    return next++ % bound;
  });
  EXPECT_THAT(bounds, ElementsAre(2, 2, 4, 4, 4, 4, 4, 4));
  EXPECT_THAT(edges.sources, ElementsAre(0, 1, 2, 3, 0, 1, 2, 3));
  EXPECT_THAT(edges.targets, ElementsAre(2, 3, 4, 4, 4, 5, 5, 5));
  EXPECT_EQ(count_edges(groups, 2), 8);
}

TEST(NeuronGroups, AreOutputsInTheOrderTheyAreNamed) {
  const std::vector<NeuronGroup> groups = {{.name = "a", .neurons = 2, .from = {kInputs}},
                                           {.name = "b", .from = {"a"}},
                                           {.name = "c", .neurons = 2, .from = {"a"}}};
  EXPECT_THAT(outputs_of(groups, 3, {}), ElementsAre(6, 7));
  EXPECT_THAT(outputs_of(groups, 3, {"b", "a"}), ElementsAre(5, 3, 4));
}

TEST(NeuronGroups, CountMoreEdgesThanFitIntoMemory) {
  const std::vector<NeuronGroup> groups = {
      {.name = "a", .neurons = int64_t{1} << 40, .from = {kInputs}, .fan_in = int64_t{1} << 40}};
  EXPECT_GT(count_edges(groups, 1), 1e24);
}

TEST(NeuronGroups, FaultsAreNamed) {
  const NeuronGroup a{.name = "a", .from = {kInputs}};
  const auto fault = [&](const NeuronGroup& group) { return fault_of({a, group, a}, {}); };
  EXPECT_EQ(fault_of({a}, {}), "");
  EXPECT_EQ(fault_of({a, {.name = "b", .activation = "softmax", .from = {kInputs, "a"}}}, {}), "");
  EXPECT_EQ(fault_of({}, {}), "expected at least the group of the outputs");
  EXPECT_EQ(fault_of({a}, {"a"}), "");
  EXPECT_EQ(fault_of({a}, {"b"}), "no group 'b' to be an output");
  EXPECT_EQ(fault_of({a}, {kInputs}), "no group 'inputs' to be an output");
  EXPECT_EQ(fault_of({a}, {"a", "a"}), "'a' is an output twice");
  EXPECT_EQ(fault(a), "a second group 'a'");
  EXPECT_EQ(fault({.name = kInputs, .from = {"a"}}), "a second group 'inputs'");
  EXPECT_EQ(fault({.name = "", .from = {"a"}}), "expected a name for every group");
  EXPECT_EQ(fault({.name = "b"}), "'b' reads no group");
  EXPECT_EQ(fault({.name = "b", .from = {"b"}}), "'b' reads 'b', which is no group before it");
  EXPECT_EQ(fault({.name = "b", .from = {"a", "a"}}), "'b' reads 'a' twice");
  EXPECT_EQ(fault({.name = "b", .activation = "softmax", .from = {"a"}}),
            "'b': softmax is for the last group alone");
}

}  // namespace
