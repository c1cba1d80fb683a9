#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <array>
#include <csignal>
#include <fstream>
#include <limits>

#include "error.h"
#include "support/files.h"
#include "support/golden.h"
#include "train/checkpoint_file.h"
#include "train/forward.h"

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

class ForwardTest : public testing::Test {
 protected:
  ForwardTest() { batch_ = {at::ones({2, 1, 8, 8}), at::tensor({1, 2}, at::kLong)}; }
  models::Model build(const std::string& wiring) {
    return models::build(small({"model.wiring=" + wiring}).model, data::image_spec({.kind = "digits"}), 0);
  }
  // The last element: the network reads it.
  static void spoil(models::Model& model, const std::string& name, double value) {
    const at::NoGradGuard no_grad;
    for (const auto& [own, tensor] : script::named_tensors(model.module)) {
      if (own == name) tensor.view(-1)[-1].fill_(value);
    }
  }
  std::string error_of(models::Model& model) {
    return message_of<NumberError>([&] { forward(model, batch_, "here"); });
  }
  data::Batch batch_;
};

TEST_F(ForwardTest, GivesTheMeanLoss) {
  models::Model model = build("{kind: dnw, prune_rate: 0.5}");
  const Forward answer = forward(model, batch_, "here");
  const at::Tensor expected =
      -answer.logits.log_softmax(1).gather(1, batch_.labels.view({2, 1})).mean();
  EXPECT_TRUE(test::close(answer.loss.detach(), expected.detach(), 1e-6));
  EXPECT_EQ(answer.value, answer.loss.item<double>());
}

TEST_F(ForwardTest, NamesTheCulprit) {
  for (const char* wiring : {"{kind: complete, prune_rate: 0}", "{kind: dnw, prune_rate: 0.5}"}) {
    models::Model model = build(wiring);
    spoil(model, "graph.weight", NAN);
    EXPECT_EQ(error_of(model), "graph.weight is not finite: here");
    model = build(wiring);
    spoil(model, "fc.bias", INFINITY);
    EXPECT_EQ(error_of(model), "fc.bias is not finite: here");
    model = build(wiring);
    batch_.images.view(-1)[3].fill_(NAN);
    EXPECT_EQ(error_of(model), "input is not finite: here");
    batch_.images.fill_(1);
    model = build(wiring);
    spoil(model, "fc.bias", 3e38);
    const at::NoGradGuard no_grad;  // a label's class gets the opposite: finite, yet too far apart
    model.module.attr("fc").toModule().attr("bias").toTensor()[1].fill_(-3e38);
    EXPECT_EQ(error_of(model), "the loss is not finite: here");
  }
}

}  // namespace
}  // namespace rewire::train
