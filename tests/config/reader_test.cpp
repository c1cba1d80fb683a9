#include "config/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/small.h"

namespace rewire::config {
namespace {

const models::WiringDescription& wiring_of(const Experiment& experiment) {
  return std::get<models::SmallDescription>(experiment.model).wiring;
}

TEST(Reader, FillsInDefaults) {
  const Experiment experiment = read_text(kSmall);
  EXPECT_EQ(experiment.name, "small");
  EXPECT_EQ(experiment.seed, 0);
  EXPECT_EQ(experiment.execution, "auto");
  EXPECT_EQ(experiment.data.kind, "digits");
  EXPECT_EQ(experiment.data.root, std::nullopt);
  EXPECT_THAT(experiment.data.normalize.mean, testing::ElementsAre(0.3));
  EXPECT_EQ(experiment.data.workers, 1);
  const auto& model = std::get<models::SmallDescription>(experiment.model);
  EXPECT_EQ(model.dim, 32);
  EXPECT_EQ(model.layers, 5);
  EXPECT_EQ(model.stem, "strided");
  EXPECT_EQ(model.pool, "global");
  EXPECT_EQ(model.wiring.gradient, "all");
  EXPECT_EQ(experiment.training.optimizer.momentum, 0);
  EXPECT_EQ(experiment.training.schedule.kind, "constant");
  EXPECT_THAT(experiment.training.topk, testing::ElementsAre(1, 5));
  EXPECT_EQ(experiment.expect, std::nullopt);
}

TEST(Reader, AnUnknownKeyNamesTheNearestKnownOne) {
  EXPECT_EQ(error_of(small_with("optimizer:", "optimiser:")),
            "x.yaml:15:3: training.optimiser: unknown key (did you mean 'optimizer'?)");
  EXPECT_EQ(error_of("sed: 1\n" + kSmall), "x.yaml:1:1: sed: unknown key (did you mean 'seed'?)");
  EXPECT_EQ(error_of(small_with("dim: 32", "dim: 32\n  Layers: 3")),
            "x.yaml:8:3: model.Layers: unknown key (did you mean 'layers'?)");
  EXPECT_EQ(error_of("nothing_like_it: 1\n" + kSmall), "x.yaml:1:1: nothing_like_it: unknown key");
}

TEST(Reader, AKeyOfAnotherKindIsUnknown) {
  EXPECT_EQ(error_of(small_with("kind: sgd, lr: 0.1", "kind: adam, lr: 0.1, momentum: 0.9")),
            "x.yaml:15:36: training.optimizer.momentum: unknown key");
  EXPECT_EQ(error_of(small_with("kind: dnw,", "kind: random, gradient: all,")),
            "x.yaml:10:26: model.wiring.gradient: unknown key");
  EXPECT_EQ(
      error_of(small_with("kind: dnw,", "kind: dnw, gradient: sampled,")),
      "x.yaml:10:33: model.wiring.gradient: expected one of all, kept or {candidates: 0.1}, got "
      "'sampled'");
  EXPECT_EQ(
      error_of(small_with("kind: dnw,", "kind: dnw, gradient: {candidates: 0},")),
      "x.yaml:10:46: model.wiring.gradient.candidates: expected a number in [0.001, 1], got 0");
}

TEST(Reader, AnUnknownWordNamesTheNearestOrAll) {
  EXPECT_EQ(error_of(small_with("kind: sgd", "kind: sdg")),
            "x.yaml:15:21: training.optimizer.kind: unknown value 'sdg' (did you mean 'sgd'?)");
  EXPECT_EQ(error_of(small_with("kind: digits", "kind: imagenet")),
            "x.yaml:3:9: data.kind: expected one of cifar10, mnist, digits, imagefolder, table, "
            "got 'imagenet'");
}

TEST(Reader, AMissingKeyIsNamedAtItsMap) {
  EXPECT_EQ(error_of(small_with("  epochs: 3\n", "")),
            "x.yaml:13:3: training: missing key 'epochs'");
  EXPECT_EQ(error_of(small_with("kind: sgd, ", "")),
            "x.yaml:15:14: training.optimizer: missing key 'kind'");
  EXPECT_EQ(error_of(small_with("name: small\n", "")), "x.yaml:1:1: missing key 'name'");
  EXPECT_EQ(error_of("name: x\n"), "x.yaml:1:1: missing key 'data'");
  EXPECT_EQ(error_of("name: x\n", {"seed=1"}), "x.yaml:1:1: missing key 'data'");
}

TEST(Reader, NamesTheMisspeltKeyRatherThanTheOneThatIsMissing) {
  EXPECT_THAT(error_of(small_with("optimizer:", "optimiser:")),
              testing::EndsWith("training.optimiser: unknown key (did you mean 'optimizer'?)"));
  EXPECT_THAT(error_of(small_with("kind: sgd", "knid: sgd")),
              testing::EndsWith("training.optimizer.knid: unknown key (did you mean 'kind'?)"));
}

TEST(Reader, RefusesAPoolLargerThanTheMap) {
  EXPECT_THAT(error_of(small_with("pool: global", "pool: center")),
              testing::EndsWith("pool: center needs a map of 4x4 at least, and this stem leaves 2; "
                                "use pool: global"));
}

TEST(Reader, WrongTypesAreRefused) {
  const auto epochs = [](const std::string& value) {
    return error_of(small_with("epochs: 3", "epochs: " + value));
  };
  const std::string place = "x.yaml:13:11: training.epochs: expected an integer, got ";
  EXPECT_EQ(epochs("'3'"), place + "the string '3'");
  EXPECT_EQ(epochs("\"3\""), place + "the string '3'");
  EXPECT_EQ(epochs("3.5"), place + "'3.5'");
  EXPECT_EQ(epochs("3e0"), place + "'3e0'");
  EXPECT_EQ(epochs("0x3"), place + "'0x3'");
  EXPECT_EQ(epochs("3,000"), place + "'3,000'");
  EXPECT_EQ(epochs("three"), place + "'three'");
  EXPECT_EQ(epochs("true"), place + "'true'");
  EXPECT_EQ(epochs("[3]"), place + "a list");
  EXPECT_EQ(epochs("{a: 3}"), place + "a map");
  EXPECT_EQ(epochs("99999999999999999999"), place + "'99999999999999999999'");
  EXPECT_THAT(epochs(""), testing::EndsWith("training.epochs: expected an integer, got nothing"));
}

TEST(Reader, NumbersAreFiniteAndPlain) {
  const auto rate = [](const std::string& value) {
    return error_of(small_with("lr: 0.1", "lr: " + value));
  };
  const std::string place = "x.yaml:15:30: training.optimizer.lr: expected a number, got ";
  for (const std::string value : {"nan", "inf", ".nan", ".inf", "-inf", "1e999", "1_000", "1e"}) {
    EXPECT_EQ(rate(value), place + "'" + value + "'");
  }
  EXPECT_EQ(rate("'0.1'"), place + "the string '0.1'");
  EXPECT_EQ(read_text(small_with("lr: 0.1", "lr: 1e-3")).training.optimizer.lr, 1e-3);
  EXPECT_EQ(read_text(small_with("lr: 0.1", "lr: 2")).training.optimizer.lr, 2.0);
}

TEST(Reader, BooleansAreTrueAndFalseAlone) {
  const auto pictures = [](const std::string& value) {
    return small_with("  epochs: 3\n", "  epochs: 3\n  pictures: " + value + "\n");
  };
  EXPECT_TRUE(read_text(pictures("true")).training.pictures);
  EXPECT_FALSE(read_text(pictures("false")).training.pictures);
  for (const std::string value : {"yes", "on", "1", "True"}) {
    EXPECT_EQ(error_of(pictures(value)),
              "x.yaml:14:13: training.pictures: expected true or false, got '" + value + "'");
  }
}

TEST(Reader, ListsAndMapsAreTold) {
  EXPECT_EQ(error_of(small_with("mean: [0.3]", "mean: 0.3")),
            "x.yaml:4:21: data.normalize.mean: expected a list, got '0.3'");
  EXPECT_EQ(error_of(small_with("mean: [0.3]", "mean: [x]")),
            "x.yaml:4:22: data.normalize.mean[0]: expected a number, got 'x'");
  EXPECT_EQ(error_of(small_with("{kind: sgd, lr: 0.1}", "sgd")),
            "x.yaml:15:14: training.optimizer: expected a map of keys, got 'sgd'");
  EXPECT_EQ(error_of(small_with("name: small", "name: [small]")),
            "x.yaml:1:7: name: expected a string, got a list");
  EXPECT_EQ(error_of("- a\n"), "x.yaml:1:1: expected a map of keys");
  EXPECT_EQ(error_of(""), "x.yaml: expected a map of keys");
  EXPECT_EQ(error_of(kSmall, {"data.augment=[{kind: horizontal_flip}, {kind: random_crop}]"}),
            "--set: data.augment[1]: missing key 'padding'");
}

TEST(Reader, RangesAreHeld) {
  EXPECT_EQ(error_of(small_with("batch_size: 64", "batch_size: 0")),
            "x.yaml:14:15: training.batch_size: expected a number in [1, 1000000], got 0");
  EXPECT_EQ(error_of(small_with("prune_rate: 0.9", "prune_rate: 1.01")),
            "x.yaml:10:35: model.wiring.prune_rate: expected a number in [0, 1], got 1.01");
  EXPECT_EQ(error_of(small_with("lr: 0.1", "lr: -0.1")),
            "x.yaml:15:30: training.optimizer.lr: expected a number in [0, 1000000], got -0.1");
  EXPECT_EQ(error_of("seed: -1\n" + kSmall),
            "x.yaml:1:7: seed: expected a number at least 0, got -1");
  EXPECT_EQ(read_text("seed: 9223372036854775807\n" + kSmall).seed, 9223372036854775807);
}

TEST(Reader, ConditionsBetweenKeysAreHeld) {
  EXPECT_EQ(
      error_of(small_with("dim: 32", "dim: 33")),
      "x.yaml:7:8: model.dim: expected downsample_dim plus a multiple of layers - 1 channels");
  EXPECT_EQ(error_of(small_with("feature_dim: 6", "feature_dim: 7")),
            "x.yaml:9:16: model.feature_dim: expected at most the channels of the last block, 6");
  EXPECT_EQ(error_of(small_with("mean: [0.3]", "mean: [0.3, 0.3, 0.3]")),
            "x.yaml:4:14: data.normalize: expected mean and std of 1 channels");
  EXPECT_EQ(error_of(kSmall, {"training.schedule={kind: multistep, milestones: [5, 3]}"}),
            "--set: training.schedule.milestones: expected ascending epochs");
  EXPECT_EQ(error_of(kSmall, {"training.optimizer.nesterov=true"}),
            "--set: training.optimizer.nesterov: Nesterov's momentum needs a momentum above 0");
  EXPECT_EQ(error_of(kSmall, {"training.optimizer={kind: adam, betas: [0.9]}"}),
            "--set: training.optimizer.betas: expected two numbers");
  for (const std::string value : {"[]", "[5]", "[5, 1]"}) {
    EXPECT_EQ(error_of(kSmall, {"training.topk=" + value}),
              "--set: training.topk: expected 1, then what else to count");
  }
}

TEST(Reader, TheStemLeavesWhatThePoolReads) {
  EXPECT_EQ(
      error_of(small_with("pool: global", "pool: center")),
      "x.yaml:6:3: model: pool: center needs a map of 4x4 at least, and this stem leaves 2; use "
      "pool: global");
  EXPECT_NO_THROW(read_text(small_with("pool: global", "pool: center\n  stem: single")));
}

TEST(Reader, ANameCanBeAFolders) {
  for (const std::string name : {"a/b", "..", ".", "''", "\"a\\nb\""}) {
    EXPECT_EQ(error_of(small_with("name: small", "name: " + name)),
              "x.yaml:1:7: name: expected a name that can be a folder's");
  }
  EXPECT_EQ(read_text(small_with("name: small", "name: 12")).name, "12");
}

TEST(Reader, EveryKindOfWiringTakesAPruneRate) {
  for (const std::string kind : {"dnw", "dnw_no_update", "random", "fine_tune", "reg_td", "td"}) {
    const Experiment experiment =
        read_text(small_with("kind: dnw, prune_rate: 0.9", "kind: " + kind + ", prune_rate: 0.7"));
    EXPECT_EQ(wiring_of(experiment).kind, kind);
    EXPECT_EQ(wiring_of(experiment).prune_rate, 0.7);
  }
  const auto complete = [](const std::string& rate) {
    return small_with("kind: dnw, prune_rate: 0.9", "kind: complete, prune_rate: " + rate);
  };
  EXPECT_EQ(wiring_of(read_text(complete("0"))).prune_rate, 0);
  EXPECT_EQ(wiring_of(read_text(complete("0.0"))).prune_rate, 0);
  EXPECT_EQ(
      error_of(complete("0.5")),
      "x.yaml:10:40: model.wiring.prune_rate: a complete wiring keeps every edge: 0 is the only "
      "value");
}

}  // namespace
}  // namespace rewire::config
