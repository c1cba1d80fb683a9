#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <array>
#include <csignal>
#include <fstream>
#include <functional>
#include <limits>

#include "error.h"
#include "support/files.h"
#include "support/golden.h"
#include "train/checkpoint_file.h"

namespace rewire::train {
namespace {

namespace fs = std::filesystem;
using test::message_of;

// Two epochs of two steps. Targeted dropout draws from torch's generator in each of them.
constexpr const char* kSmall = R"(name: small
data:
  kind: digits
  normalize: {mean: [0.3], std: [0.4]}
  augment: [{kind: random_crop, padding: 1}]
  workers: 0
model:
  kind: static
  dim: 20
  layers: 3
  downsample_dim: 4
  feature_dim: 6
  stem: single
  pool: global
  wiring: {kind: td, prune_rate: 0.5}
training:
  epochs: 2
  batch_size: 800
  optimizer: {kind: sgd, lr: 0.1, momentum: 0.9}
  schedule: {kind: cosine}
)";
constexpr int kSteps = 4;
constexpr int kForever = std::numeric_limits<int>::max();

config::Experiment small(const std::vector<std::string>& overrides = {}) {
  return config::parse(kSmall, "small.yaml", overrides);
}

class Trainer : public testing::Test {
 protected:
  Trainer() {
    threads_ = at::get_num_threads();
    at::set_num_threads(1);
  }
  ~Trainer() override { at::set_num_threads(threads_); }

  // Trains in `output`, stopping after `steps` steps of this call.
  RunResult train(const std::string& output, int steps = kForever,
                  const std::vector<std::string>& overrides = {}) {
    std::atomic<int> stop{steps == 0 ? SIGTERM : 0};
    int taken = 0;
    RunOptions options{
        .output = folder_.path() / output, .data_root = {}, .stop = &stop, .watcher = {}};
    options.watcher.step = [&](const StepReport& report) {
      if (report.training && ++taken == steps) stop = SIGTERM;
    };
    options.watcher.log = [&](const std::string& line) { log_ += line + "\n"; };
    log_.clear();
    return run(small(overrides), options);
  }
  TensorMap checkpoint(const std::string& output, const std::string& name = "last") const {
    return read_tensors(folder_.path() / output / "checkpoints" / (name + ".pt"));
  }
  // metrics.jsonl without what a clock measured.
  std::vector<std::string> rows(const std::string& output) const {
    std::vector<std::string> rows;
    std::ifstream file(folder_.path() / output / "metrics.jsonl");
    for (std::string line; std::getline(file, line);) {
      auto row = nlohmann::ordered_json::parse(line);
      row.erase("seconds");
      row.erase("images_per_second");
      rows.push_back(row.dump());
    }
    return rows;
  }
  void expect_same(const std::string& output, const std::string& expected) const {
    EXPECT_EQ(rows(output), rows(expected));
    const TensorMap found = checkpoint(output), wanted = checkpoint(expected);
    ASSERT_EQ(found.size(), wanted.size());
    for (const auto& [name, tensor] : wanted) {
      if (name == "progress.seconds" || name == "config") continue;
      ASSERT_TRUE(found.contains(name)) << name;
      EXPECT_TRUE(test::same(found.at(name), tensor)) << name;
    }
  }

  const test::TempFolder folder_;
  std::string log_;
  int threads_ = 1;
};

TEST_F(Trainer, StoppedAfterAnyStepItEndsTheSame) {
  const RunResult whole = train("whole");
  EXPECT_EQ(whole.epochs, 2);
  EXPECT_EQ(whole.stopped_by, 0);
  // With any loader threads before and after.
  const std::vector<std::array<int, 2>> workers = {{0, 0}, {1, 1}, {4, 4}, {0, 4}, {4, 1}};
  for (size_t run = 0; run < kSteps * workers.size(); ++run) {
    const int steps = int(run) % kSteps;
    const auto [before, after] = workers[run / kSteps];
    const auto threads = [](int count) {
      return std::vector<std::string>{"data.workers=" + std::to_string(count)};
    };
    const std::string output = "stopped_" + std::to_string(run);
    const RunResult stopped = train(output, steps, threads(before));
    EXPECT_EQ(stopped.stopped_by, SIGTERM);
    const TensorMap saved = checkpoint(output);
    EXPECT_EQ(saved.at("progress.epoch").item<int64_t>() * 2 +
                  saved.at("progress.step_in_epoch").item<int64_t>(),
              steps);
    const RunResult resumed = train(output, kForever, threads(after));
    EXPECT_THAT(log_, testing::HasSubstr("going on from "));
    EXPECT_EQ(resumed.top1, whole.top1);
    EXPECT_EQ(resumed.loss, whole.loss);
    EXPECT_EQ(resumed.best_top1, whole.best_top1);
    expect_same(output, "whole");
  }
}

TEST_F(Trainer, StoppedAfterEveryStepItEndsTheSame) {
  train("whole");
  for (int step = 0; step < kSteps; ++step) train("stopped", 1);
  train("stopped");
  expect_same("stopped", "whole");
}

// With everything that a step can be made of: two batches, or the one that is left, of mixed
// images.
TEST_F(Trainer, StoppedBetweenTheBatchesOfAStepItEndsTheSame) {
  const std::vector<std::string> settings = {"training.batch_size=300",
                                             "training.accumulate=3",
                                             "training.drop_last=true",
                                             "training.mixup=0.4",
                                             "training.label_smoothing=0.1",
                                             "training.precision=bfloat16",
                                             "training.optimizer.no_decay=[norm, bias]",
                                             "training.optimizer.weight_decay=0.01"};
  train("whole", kForever, settings);
  EXPECT_NE(rows("whole")[0].find("\"images\":1200"), std::string::npos) << rows("whole")[0];
  for (int batch = 0; batch < 8; ++batch) {
    train("stopped", 1, settings);
    const TensorMap saved = checkpoint("stopped");
    const bool between = saved.at("progress.step_in_epoch").item<int64_t>() % 3 != 0;
    EXPECT_EQ(saved.contains("gradient.graph.weight"), between) << batch;
  }
  train("stopped", kForever, settings);
  expect_same("stopped", "whole");

  // Each of them is part of the result.
  for (size_t without = 1; without < settings.size(); ++without) {
    std::vector<std::string> others = settings;
    others.erase(others.begin() + std::ptrdiff_t(without));
    train("other", kForever, others);
    EXPECT_FALSE(at::equal(checkpoint("other").at("model.graph.weight"),
                           checkpoint("whole").at("model.graph.weight")))
        << settings[without];
    fs::remove_all(folder_.path() / "other");
  }
}

TEST_F(Trainer, RefusesAPlaceBetweenBatchesWithoutTheirGradients) {
  const std::vector<std::string> settings = {"training.accumulate=2"};
  train("run", 1, settings);
  const fs::path last = folder_.path() / "run" / "checkpoints" / "last.pt";
  const TensorMap whole = checkpoint("run");
  const auto gradients = std::count_if(whole.begin(), whole.end(), [](const auto& item) {
    return item.first.starts_with("gradient.");
  });
  const auto refusal = [&](const std::function<void(TensorMap&)>& spoil) {
    TensorMap tensors = whole;
    spoil(tensors);
    write_tensors(last, tensors);
    return message_of<CheckpointError>([&] { train("run", kForever, settings); });
  };
  EXPECT_EQ(refusal([](TensorMap& tensors) { tensors.erase("gradient.graph.weight"); }),
            last.string() + ": expected the gradients of " + std::to_string(gradients) +
                " parameters, got " + std::to_string(gradients - 1));
  EXPECT_EQ(refusal([](TensorMap& tensors) { tensors.erase("progress.gradients"); }),
            last.string() + ": no tensor 'progress.gradients'");
  EXPECT_EQ(refusal([](TensorMap& tensors) { tensors["gradient.graph.weight"] = at::ones({2}); }),
            last.string() + ": no usable gradient.graph.weight");
}

TEST_F(Trainer, RefusesDataThatFillNoBatch) {
  EXPECT_EQ(message_of<ConfigError>([&] {
              train("run", kForever, {"training.drop_last=true", "training.batch_size=1500"});
            }),
            "training.drop_last: 1438 training images fill no batch of 1500: nothing would be "
            "trained");
}

TEST_F(Trainer, SavingBetweenStepsChangesNothing) {
  train("whole");
  train("saving", kForever, {"training.save_every=1", "data.workers=3"});
  expect_same("saving", "whole");
}

TEST_F(Trainer, EvaluationIsThatOfTheLastRow) {
  const RunResult result = train("run");
  const config::Experiment experiment = small();
  models::Model model = models::build(experiment.model, data::image_spec({.kind = "digits"}), 99);
  TensorMap state;
  for (const auto& [name, tensor] : checkpoint("run")) {
    if (name.starts_with("model.")) state[name.substr(6)] = tensor;
  }
  ASSERT_TRUE(models::load_state(model, state).empty());
  const Sums sums = evaluate(model, data::open(experiment.data, "", data::Split::test), experiment);
  EXPECT_EQ(sums.images(), 359);
  EXPECT_EQ(sums.loss(), result.loss);
  EXPECT_EQ(sums.top(0), result.top1);
}

TEST_F(Trainer, ALossThatIsNotFiniteEndsItAndKeepsTheLastCheckpoint) {
  const std::vector<std::string> diverging = {
      "training.optimizer={kind: sgd, lr: 1e6}", "training.save_every=1",
      "training.schedule.kind=constant", "training.epochs=20"};
  EXPECT_THAT(
      message_of<NumberError>([&] { train("run", 1000, diverging); }),
      testing::ContainsRegex("is not finite: (epoch [0-9]+, step [0-9]+|test set, batch 0)"));
  for (const auto& entry : fs::directory_iterator(folder_.path() / "run" / "checkpoints")) {
    for (const auto& [name, tensor] : read_tensors(entry.path())) {
      if (!name.starts_with("model.")) continue;
      EXPECT_TRUE(tensor.isfinite().all().item<bool>()) << entry.path() << ", " << name;
    }
  }
}

TEST_F(Trainer, GoesOnWhereItsFolderIsRemoved) {
  train("whole");
  const fs::path output = folder_.path() / "run";
  std::atomic<int> stop{0};
  RunOptions options{.output = output, .data_root = {}, .stop = &stop, .watcher = {}};
  options.watcher.step = [&](const StepReport& report) {
    if (report.epoch == 1 && report.batch == 1) fs::remove_all(output);
  };
  options.watcher.log = [&](const std::string& line) { log_ += line + "\n"; };
  log_.clear();
  run(small(), options);
  EXPECT_THAT(log_, testing::HasSubstr(output.string() + ": was removed, and is made again\n"));
  const std::vector<std::string> all = rows("whole");
  EXPECT_EQ(rows("run"), std::vector<std::string>(all.begin() + 2, all.end()));
  EXPECT_TRUE(fs::exists(output / "config.yaml"));
  for (const auto& [name, tensor] : checkpoint("whole")) {
    if (name == "progress.seconds") continue;
    EXPECT_TRUE(test::same(checkpoint("run").at(name), tensor)) << name;
  }
}

// Before the rows of an epoch, and before a save within it.
TEST_F(Trainer, GoesOnWhereItsFolderIsRemovedJustBeforeAWrite) {
  train("whole");
  for (const int save_every : {0, 1}) {
    const fs::path output = folder_.path() / ("run_" + std::to_string(save_every));
    const std::string line = output.string() + ": was removed, and is made again";
    std::atomic<int> stop{0};
    int made = 0;
    RunOptions options{.output = output, .data_root = {}, .stop = &stop, .watcher = {}};
    options.watcher.step = [&](const StepReport& report) {
      if (report.epoch == 1 && report.batch == 1) fs::remove_all(output);
    };
    options.watcher.log = [&](const std::string& said) {
      if (said == line && ++made == 1) fs::remove_all(output);
    };
    run(small({"training.save_every=" + std::to_string(save_every)}), options);
    EXPECT_EQ(made, 2);
    const std::vector<std::string> all = rows("whole");
    EXPECT_EQ(rows(output.filename()), std::vector<std::string>(all.begin() + 2, all.end()));
    EXPECT_TRUE(fs::exists(output / "config.yaml"));
    const TensorMap found = checkpoint(output.filename());
    for (const auto& [name, tensor] : checkpoint("whole")) {
      if (name == "progress.seconds" || name == "config") continue;
      EXPECT_TRUE(test::same(found.at(name), tensor)) << name;
    }
  }
}

TEST_F(Trainer, GoesOnWithoutCurves) {
  std::atomic<int> stop{0};
  fs::path events;
  RunOptions options{
      .output = folder_.path() / "run", .data_root = {}, .stop = &stop, .watcher = {}};
  options.watcher.step = [&](const StepReport& report) {
    if (report.epoch != 1 || report.batch != 1) return;
    for (const auto& entry : fs::directory_iterator(options.output)) {
      if (entry.path().filename().string().starts_with("events.")) events = entry.path();
    }
    fs::remove(events);
    fs::create_directory(events);
  };
  options.watcher.log = [&](const std::string& line) { log_ += line + "\n"; };
  EXPECT_EQ(run(small(), options).epochs, 2);
  EXPECT_THAT(log_, testing::HasSubstr("no curves or pictures of this epoch: " + events.string() +
                                       ": cannot be written: Is a directory\n"));
  EXPECT_EQ(rows("run").size(), 4u);
}

TEST_F(Trainer, CurvesFollowTheCheckpoint) {
  train("run");
  const auto curves = [&] {
    std::string bytes;
    for (const auto& entry : fs::directory_iterator(folder_.path() / "run")) {
      if (!entry.path().filename().string().starts_with("events.")) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      bytes.append(std::istreambuf_iterator<char>(file), {});
    }
    size_t count = 0;
    const std::string tag = "loss/train";
    for (size_t at = 0; (at = bytes.find(tag, at)) != std::string::npos; ++at) ++count;
    return count;
  };
  EXPECT_EQ(curves(), 2u);
  const fs::path init = folder_.path() / "run" / "checkpoints" / "init.pt";
  fs::copy_file(init, folder_.path() / "run" / "checkpoints" / "last.pt",
                fs::copy_options::overwrite_existing);
  train("run");
  EXPECT_EQ(curves(), 2u);  // no point twice
}

}  // namespace
}  // namespace rewire::train
