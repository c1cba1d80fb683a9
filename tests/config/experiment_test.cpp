#include "config/experiment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/small.h"

namespace rewire::config {
namespace {

namespace fs = std::filesystem;
using test::message_of;

class Bases : public testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& text) {
    return folder_.write(name, text);
  }
  std::string error_of_file(const fs::path& file) {
    return message_of<ConfigError>([&] { load(file); });
  }
  std::string at(const std::string& name) { return (folder_.path() / name).string(); }

  const test::TempFolder folder_;
};

TEST_F(Bases, TheFilesOwnKeysWin) {
  write("base/small.yaml", kSmall);
  const Experiment experiment = load(write("x.yaml",
                                           "base: base/small.yaml\n"
                                           "name: other\n"
                                           "training: {epochs: 9, topk: [1]}\n"));
  EXPECT_EQ(experiment.name, "other");
  EXPECT_EQ(experiment.training.epochs, 9);
  EXPECT_EQ(experiment.training.batch_size, 64);
  EXPECT_THAT(experiment.training.topk, testing::ElementsAre(1));  // lists replace
}

TEST_F(Bases, OverridesWinOverAll) {
  write("small.yaml", kSmall);
  const fs::path file = write("x.yaml", "base: small.yaml\nseed: 3\n");
  EXPECT_EQ(load(file).seed, 3);
  EXPECT_EQ(load(file, {"seed=4"}).seed, 4);
}

TEST_F(Bases, ABaseMayHaveABaseBesideItself) {
  write("deep/down/small.yaml", kSmall);
  write("deep/middle.yaml", "base: down/small.yaml\nseed: 5\n");
  EXPECT_EQ(load(write("x.yaml", "base: deep/middle.yaml\n")).seed, 5);
}

TEST_F(Bases, ComplaintsNameTheFileThatHoldsTheKey) {
  write("small.yaml", small_with("epochs: 3", "epochs: many"));
  EXPECT_EQ(error_of_file(write("x.yaml", "base: small.yaml\n")),
            at("small.yaml") + ":13:11: training.epochs: expected an integer, got 'many'");
  write("small.yaml", kSmall);
  EXPECT_EQ(error_of_file(write("x.yaml", "base: small.yaml\ntraining:\n  epoch: 3\n")),
            at("x.yaml") + ":3:3: training.epoch: unknown key (did you mean 'epochs'?)");
}

TEST_F(Bases, RefusesACircle) {
  write("a.yaml", "base: b.yaml\n");
  write("b.yaml", "base: a.yaml\n");
  EXPECT_THAT(error_of_file(folder_.path() / "a.yaml"),
              testing::EndsWith(":1:1: base: more than 8 files deep; is there a circle?"));
  EXPECT_THAT(error_of_file(write("self.yaml", "base: self.yaml\n")),
              testing::EndsWith(":1:1: base: more than 8 files deep; is there a circle?"));
}

TEST_F(Bases, RefusesABaseThatIsNone) {
  EXPECT_EQ(error_of_file(write("x.yaml", "base: absent.yaml\n")),
            at("x.yaml") + ":1:7: base: " + at("absent.yaml") + ": no such file");
  EXPECT_EQ(error_of_file(write("x.yaml", "base: [a.yaml]\n")),
            at("x.yaml") + ":1:7: base: expected the path of a file");
  EXPECT_EQ(error_of_file(write("x.yaml", "base:\nname: x\n")),
            at("x.yaml") + ":2:1: base: expected the path of a file");
  write("list.yaml", "- a\n");
  EXPECT_EQ(error_of_file(write("x.yaml", "base: list.yaml\n" + kSmall)),
            at("list.yaml") + ":1:1: expected a map of keys");
  write("broken.yaml", "a: 1\na: 2\n");
  EXPECT_EQ(error_of_file(write("x.yaml", "base: broken.yaml\n")),
            at("broken.yaml") + ":2:1: duplicate key 'a', first on line 1");
}

TEST_F(Bases, AnotherKindDropsInheritedKeysOfTheOldOne) {
  write("small.yaml", small_with("kind: sgd, lr: 0.1", "kind: sgd, lr: 0.1, momentum: 0.9") +
                          "  schedule: {kind: multistep, milestones: [1], gamma: 0.5}\n");
  const Experiment experiment = load(write("x.yaml",
                                           "base: small.yaml\n"
                                           "training:\n"
                                           "  optimizer: {kind: adam}\n"
                                           "  schedule: {kind: cosine}\n"));
  EXPECT_EQ(experiment.training.optimizer.kind, "adam");
  EXPECT_EQ(experiment.training.optimizer.lr, 0.1);
  EXPECT_EQ(experiment.training.schedule.kind, "cosine");
}

TEST_F(Bases, AnotherKindRefusesItsOwnWrongKeys) {
  write("small.yaml", small_with("kind: sgd, lr: 0.1", "kind: sgd, lr: 0.1, momentum: 0.9"));
  EXPECT_EQ(error_of_file(write("x.yaml",
                                "base: small.yaml\n"
                                "training:\n"
                                "  optimizer: {kind: adam, momentum: 0.5}\n")),
            at("x.yaml") + ":3:27: training.optimizer.momentum: unknown key");
  // With the same kind named again, nothing is dropped.
  EXPECT_EQ(load(write("x.yaml", "base: small.yaml\ntraining: {optimizer: {kind: sgd}}\n"))
                .training.optimizer.momentum,
            0.9);
}

TEST(DifferingKeys, AreNamedByTheirPath) {
  const auto keys = [](const std::vector<std::string>& overrides) {
    return differing_keys(read_text(kSmall), read_text(kSmall, overrides));
  };
  EXPECT_THAT(keys({}), testing::IsEmpty());
  EXPECT_THAT(keys({"training.optimizer.lr=0.2", "seed=3", "data.normalize.mean=[0.25]"}),
              testing::ElementsAre("data.normalize.mean[0]", "seed", "training.optimizer.lr"));
  EXPECT_THAT(keys({"data.augment=[{kind: horizontal_flip}]"}),
              testing::ElementsAre("data.augment[0].kind"));
  EXPECT_THAT(keys({"expect={top1: 1, within: 2, source: x}"}),
              testing::ElementsAre("expect.source", "expect.top1", "expect.within"));
}

TEST(Families, AResNetHasOneOfItsDepthsAndNoSampledGradient) {
  const auto error = [](const std::string& model) {
    return error_of(kSmall, {"model={kind: resnet, " + model + "}"});
  };
  EXPECT_EQ(error("depth: 20, wiring: {kind: dnw}"),
            "--set: model.depth: expected 18, 34, 50, 101 or 152 layers");
  // Both sections are the file's, of which --set replaces parts.
  EXPECT_EQ(error("wiring: {kind: dnw}"), "x.yaml:6:3: model: missing key 'depth'");
  EXPECT_EQ(
      error("depth: 18, wiring: {kind: dnw, gradient: {candidates: 0.5}}"),
      "x.yaml:10:11: model.wiring: its convolutions are computed dense, where a sampled gradient "
      "saves nothing: expected gradient all or kept");
  EXPECT_EQ(error("depth: 18, init: fanin, wiring: {kind: dnw}"),
            "--set: model.init: unknown value 'fanin' (did you mean 'fan_in'?)");
}

TEST(Families, NeuronsAreOfGroupsThatFitTheData) {
  const auto error = [](const std::string& model) {
    return error_of(kSmall, {"model={kind: neurons, wiring: {kind: dnw}, " + model + "}"});
  };
  const std::string outputs = "{name: outputs, neurons: 10, from: [inputs]}";
  EXPECT_NO_THROW(
      read_text(kSmall, {"model={kind: neurons, wiring: {kind: dnw}, groups: [" + outputs + "]}"}));
  EXPECT_EQ(error("init: lecun"),
            "--set: model.init: expected one of he, xavier, "
            "self_normalized, uniform, connex, got 'lecun'");
  EXPECT_EQ(error("init: he"),
            "x.yaml:6:3: model.groups: expected at least the group of the outputs");
  EXPECT_EQ(error("groups: [{name: a, from: [b]}, " + outputs + "]"),
            "--set: model.groups: 'a' reads 'b', which is no group before it");
  EXPECT_EQ(error("groups: [{name: a}, " + outputs + "]"),
            "--set: model.groups[0]: missing key 'from'");
  EXPECT_EQ(error("groups: [{name: a, from: [inputs], activation: rely}, " + outputs + "]"),
            "--set: model.groups[0].activation: unknown value 'rely' (did you mean 'relu'?)");
  EXPECT_EQ(error("groups: [{name: a, from: [inputs]}]"),
            "x.yaml:6:3: model: expected as many outputs as there are classes, or targets, 10, "
            "got 1");
  EXPECT_EQ(error("outputs: [a], groups: [" + outputs + "]"),
            "--set: model.groups: no group 'a' to be an output");
  EXPECT_EQ(error("groups: [{name: a, from: [inputs], neurons: 16384}, " + outputs + "]"),
            "x.yaml:6:3: model: 16458 neurons, inputs with them: expected at most 16384");
  EXPECT_EQ(
      error("groups: [{name: a, from: [inputs], neurons: 9, fan_in: 67108864}, " + outputs + "]"),
      "x.yaml:6:3: model: more than 67108864 edges");
  EXPECT_EQ(error_of(kSmall, {"model={kind: neurons, groups: [" + outputs +
                              "], wiring: {kind: dnw, gradient: {candidates: 0.5}}}"}),
            "x.yaml:10:11: model.wiring: all edges are one row of candidates: expected gradient "
            "all or kept");
}

TEST(Tables, HaveRowsALossAndNeurons) {
  const std::string neurons =
      "model={kind: neurons, groups: [{name: o, from: [inputs]}], wiring: {kind: complete, "
      "prune_rate: 0}}";
  const auto table = [](const std::string& keys) { return "data={kind: table, " + keys + "}"; };
  const std::string rows = "rows: [[0, 1, 1], [1, 1, 0]]",
                    small = small_with("  kind: digits\n  normalize: {mean: [0.3], std: [0.4]}",
                                       "  kind: table\n  " + rows);
  const Experiment experiment = read_text(small, {neurons, "training.loss=l1"});
  EXPECT_EQ(to_yaml(read_text(to_yaml(experiment))), to_yaml(experiment));
  EXPECT_EQ(experiment.data.rows[1], (std::vector<double>{1, 1, 0}));

  EXPECT_EQ(error_of(small, {neurons}),
            "x.yaml:13:3: training: loss: expected mse, l1 or huber, as a table has no classes");
  EXPECT_EQ(error_of(small, {"training.loss=mse"}),
            "x.yaml:6:3: model: expected kind neurons, as a table has no images");
  EXPECT_EQ(error_of(small, {neurons, "training.loss=mse", "training.mixup=0.1"}),
            "x.yaml:13:3: training: mixup, label_smoothing: a table has no classes");
  EXPECT_EQ(
      error_of(kSmall, {"training.loss=mse"}),
      "x.yaml:13:3: training: loss: expected cross_entropy, as the data has classes, got mse");
  EXPECT_EQ(error_of(small, {neurons, "training.loss=mse", table("rows: [[0, 1], [1]]")}),
            "--set: data.rows: expected as many numbers in each row as in the first");
  EXPECT_EQ(error_of(small, {neurons, "training.loss=mse", table("rows: []")}),
            "--set: data.rows: expected rows, of more numbers than the targets, 1");
  EXPECT_EQ(error_of(small, {neurons, "training.loss=mse", table("targets: 3")}),
            "x.yaml:4:9: data.rows: expected rows, of more numbers than the targets, 3");
  EXPECT_EQ(error_of(small, {neurons, "training.loss=mse", table("rows: [[0, 1e31]]")}),
            "--set: data.rows[0][1]: expected a number in [-1e+30, 1e+30], got 1e31");
}

TEST(Experiments, EveryShippedFileReads) {
  int files = 0;
  for (const auto& entry :
       fs::recursive_directory_iterator(fs::path(REWIRE_SOURCE_DIR) / "configs")) {
    if (entry.path().extension() != ".yaml" || entry.path().parent_path().filename() == "base")
      continue;
    const Experiment experiment = load(entry.path());
    EXPECT_EQ(to_yaml(read_text(to_yaml(experiment))), to_yaml(experiment));
    ++files;
  }
  EXPECT_GE(files, 6);
}

TEST(Experiments, ThePublishedStaticClassifier) {
  const Experiment experiment =
      load(fs::path(REWIRE_SOURCE_DIR) / "configs" / "cifar10" / "static-dnw.yaml");
  const auto& model = std::get<models::SmallDescription>(experiment.model);
  EXPECT_EQ(experiment.name, "static-dnw");
  EXPECT_EQ(model.dim, 800);
  EXPECT_EQ(model.feature_dim, 100);
  EXPECT_EQ(model.wiring.prune_rate, 0.95);
  EXPECT_EQ(experiment.training.epochs, 160);
  EXPECT_EQ(experiment.training.batch_size, 512);
  EXPECT_EQ(experiment.training.optimizer.weight_decay, 1e-4);
  EXPECT_THAT(experiment.training.schedule.milestones, testing::ElementsAre(80, 120));
  ASSERT_EQ(experiment.data.augment.size(), 2u);
  EXPECT_EQ(experiment.data.augment[0].padding, 4);
  ASSERT_TRUE(experiment.expect);
  EXPECT_EQ(experiment.expect->top1, 80.9);
}

}  // namespace
}  // namespace rewire::config
