#include "config/node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/small.h"

namespace rewire::config {
namespace {

TEST(Override, SetsAKeyOfAnyDepth) {
  const Experiment experiment = read_text(
      kSmall, {"name=other", "training.epochs=7", "model.wiring.prune_rate=0.25", "seed=12"});
  EXPECT_EQ(experiment.name, "other");
  EXPECT_EQ(experiment.seed, 12);
  EXPECT_EQ(experiment.training.epochs, 7);
  EXPECT_EQ(experiment.training.batch_size, 64);  // its neighbours stay
  EXPECT_EQ(std::get<models::SmallDescription>(experiment.model).wiring.prune_rate, 0.25);
}

TEST(Override, TheLastOneWins) { EXPECT_EQ(read_text(kSmall, {"seed=1", "seed=2"}).seed, 2); }

TEST(Override, TakesListsAndMaps) {
  const Experiment experiment =
      read_text(kSmall, {"training.topk=[1, 3]", "data.augment=[{kind: random_crop, padding: 2}]",
                         "training.schedule={kind: multistep, milestones: [1, 2]}"});
  EXPECT_THAT(experiment.training.topk, testing::ElementsAre(1, 3));
  EXPECT_THAT(experiment.training.schedule.milestones, testing::ElementsAre(1, 2));
  ASSERT_EQ(experiment.data.augment.size(), 1u);
  EXPECT_EQ(experiment.data.augment[0].padding, 2);
}

TEST(Override, AMapIsMergedIntoTheFilesMap) {
  const Experiment experiment = read_text(kSmall, {"training={epochs: 9}"});
  EXPECT_EQ(experiment.training.epochs, 9);
  EXPECT_EQ(experiment.training.batch_size, 64);
}

TEST(Override, TheValueMayHoldAnEqualsSign) {
  EXPECT_EQ(read_text(kSmall, {"name=a=b"}).name, "a=b");
}

TEST(Override, IsCheckedLikeTheFile) {
  EXPECT_EQ(error_of(kSmall, {"training.epochs=many"}),
            "--set: training.epochs: expected an integer, got 'many'");
  EXPECT_EQ(error_of(kSmall, {"training.epochs='3'"}),
            "--set: training.epochs: expected an integer, got the string '3'");
  EXPECT_EQ(error_of(kSmall, {"training.epochs=-1"}),
            "--set: training.epochs: expected a number in [0, 1000000], got -1");
  EXPECT_EQ(error_of(kSmall, {"training.epoch=3"}),
            "--set: training.epoch: unknown key (did you mean 'epochs'?)");
  EXPECT_EQ(error_of(kSmall, {"training.optimizer.lr.x=3"}),
            "--set: training.optimizer.lr: expected a number, got a map");
  EXPECT_EQ(error_of(kSmall, {"seed="}), "--set: seed: expected an integer, got nothing");
  EXPECT_EQ(error_of(kSmall, {"model="}), "--set: model: expected a map of keys, got nothing");
  EXPECT_EQ(error_of(kSmall, {"data.augment[0].padding=3"}),
            "--set: data.augment[0]: unknown key (did you mean 'augment'?)");
}

TEST(Override, RefusesWhatIsNoAssignment) {
  EXPECT_EQ(error_of(kSmall, {"seed"}), "--set: expected KEY=VALUE, got 'seed'");
  EXPECT_EQ(error_of(kSmall, {"=3"}), "--set: expected KEY=VALUE, got '=3'");
  EXPECT_EQ(error_of(kSmall, {""}), "--set: expected KEY=VALUE, got ''");
  EXPECT_EQ(error_of(kSmall, {"a..b=3"}), "--set: empty key in 'a..b=3'");
  EXPECT_EQ(error_of(kSmall, {".seed=3"}), "--set: empty key in '.seed=3'");
  EXPECT_EQ(error_of(kSmall, {"seed.=3"}), "--set: empty key in 'seed.=3'");
}

TEST(Override, RefusesAValueThatIsNoYaml) {
  EXPECT_THAT(error_of(kSmall, {"training.topk=[1, 5"}),
              testing::StartsWith("--set: training.topk: "));
  EXPECT_EQ(error_of(kSmall, {"name=!mine x"}), "--set: name: tags are not allowed: '!mine'");
  EXPECT_EQ(error_of(kSmall, {"name=a\x01z"}),
            "--set: name: not a text file (UTF-8 YAML is expected)");
  EXPECT_EQ(error_of(kSmall, {"model={dim: 4, dim: 5}"}),
            "--set: model: duplicate key 'dim', first on line 0");
}

TEST(Override, AnotherKindDropsWhatOnlyTheOldOneHas) {
  const Experiment adam = read_text(small_with("lr: 0.1", "lr: 0.1, momentum: 0.9, nesterov: true"),
                                    {"training.optimizer.kind=adam"});
  EXPECT_EQ(adam.training.optimizer.kind, "adam");
  EXPECT_EQ(adam.training.optimizer.lr, 0.1);  // both kinds have it
  EXPECT_EQ(error_of(kSmall, {"training.optimizer.kind=adam", "training.optimizer.momentum=0.9"}),
            "--set: training.optimizer.momentum: unknown key");
}

TEST(Merge, MapsKeyByKeyAndEverythingElseReplaced) {
  const Node merged = merge(parse_yaml("{a: {b: 1, c: 2}, d: [1, 2], e: x}", "under.yaml"),
                            parse_yaml("{a: {c: 3}, d: [4], f: y}", "over.yaml"));
  const Node& a = merged.find("a")->value;
  EXPECT_EQ(a.find("b")->value.text, "1");
  EXPECT_EQ(a.find("b")->value.position.origin, "under.yaml");
  EXPECT_EQ(a.find("c")->value.text, "3");
  EXPECT_EQ(a.find("c")->value.position.origin, "over.yaml");
  ASSERT_EQ(merged.find("d")->value.items.size(), 1u);
  EXPECT_EQ(merged.find("d")->value.items[0].text, "4");
  EXPECT_EQ(merged.find("e")->value.text, "x");
  EXPECT_EQ(merged.find("f")->value.text, "y");
}

TEST(Complaint, LeavesOutWhatIsNotKnown) {
  EXPECT_STREQ(complaint({"x.yaml", 3, 7}, "a.b", "wrong").what(), "x.yaml:3:7: a.b: wrong");
  EXPECT_STREQ(complaint({"x.yaml", 3, 7}, "", "wrong").what(), "x.yaml:3:7: wrong");
  EXPECT_STREQ(complaint({"--set", 0, 0}, "a", "wrong").what(), "--set: a: wrong");
  EXPECT_EQ(complaint({"x.yaml", 3, 7}, "a", "wrong").exit_status(), 2);
}

}  // namespace
}  // namespace rewire::config
