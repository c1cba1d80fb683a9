// What a checkpoint must hold to be gone on from: files of valid checksum and wrong content.
#include "train/run_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "error.h"
#include "support/files.h"
#include "train/trainer.h"

namespace rewire::train {
namespace {

using test::message_of;

constexpr const char* kTiny = R"(name: tiny
data: {kind: digits, normalize: {mean: [0.3], std: [0.4]}, workers: 0}
model: {kind: static, dim: 20, layers: 3, downsample_dim: 4, feature_dim: 6, stem: single,
        pool: global, wiring: {kind: dnw, prune_rate: 0.5}}
training: {epochs: 2, batch_size: 800, optimizer: {kind: sgd, lr: 0.1, momentum: 0.9}}
)";

class Restore : public testing::Test {
 protected:
  Restore() { train("never"); }

  static config::Experiment experiment(const std::vector<std::string>& overrides = {}) {
    return config::parse(kTiny, "tiny.yaml", overrides);
  }
  RunResult train(const std::string& resume, const std::vector<std::string>& overrides = {}) {
    return run(
        experiment(overrides),
        {.output = folder_.path() / "run", .data_root = {}, .resume = resume, .watcher = {}});
  }
  std::filesystem::path checkpoint(const std::string& name) const {
    return folder_.path() / "run" / "checkpoints" / (name + ".pt");
  }
  // What going on says after `name` in last.pt was replaced, or removed where `value` is undefined.
  std::string refusal(const std::string& name, const at::Tensor& value) {
    TensorMap tensors = read_tensors(checkpoint("init"));
    tensors.erase(name);
    if (value.defined()) tensors[name] = value;
    write_tensors(checkpoint("last"), tensors);
    const std::string message = message_of<CheckpointError>([&] { train("auto"); });
    const std::string path = checkpoint("last").string() + ": ";
    EXPECT_THAT(message, testing::StartsWith(path));
    return message.substr(std::min(path.size(), message.size()));
  }
  const test::TempFolder folder_;
};

TEST_F(Restore, RefusesAPlaceOutsideTheTraining) {
  EXPECT_EQ(refusal("progress.step_in_epoch", at::scalar_tensor(-5, at::kLong)),
            "its place in the training is negative");
  EXPECT_EQ(refusal("progress.step_in_epoch", at::scalar_tensor(1000000, at::kLong)),
            "its place lies beyond the end of an epoch");
}

TEST_F(Restore, RefusesTensorsOfAnotherShapeOrType) {
  EXPECT_EQ(refusal("progress.sums", at::zeros({2}, at::kDouble)),
            "progress.sums: expected Double [5], got Double [2]");
  EXPECT_EQ(refusal("edges_before.graph", at::zeros({3, 3}, at::kBool)),
            "edges_before.graph: expected Bool [20, 20], got Bool [3, 3]");
  EXPECT_EQ(refusal("model.fc.bias", at::zeros({10}, at::kLong)),
            "model.fc.bias: expected Float [10], got Long [10]");
  EXPECT_EQ(refusal("progress.best", {}), "no tensor 'progress.best'");
}

TEST_F(Restore, RefusesWhatIsNotFinite) {
  // What going on says with one value of a tensor replaced in last.pt.
  const auto refusal_of = [&](const std::string& name, double value) {
    TensorMap tensors = read_tensors(checkpoint("last"));
    tensors.at(name).view(-1)[-1].fill_(value);
    write_tensors(checkpoint("last"), tensors);
    return message_of<NumberError>([&] { train("auto"); });
  };
  const std::string where = " is not finite: " + checkpoint("last").string();
  EXPECT_EQ(refusal_of("optimizer.fc.weight.momentum_buffer", INFINITY),
            "optimizer.fc.weight.momentum_buffer" + where);
  EXPECT_EQ(refusal_of("model.graph.weight", NAN), "graph.weight" + where);
  models::Model model = models::build(experiment().model, data::image_spec({.kind = "digits"}), 0);
  EXPECT_EQ(message_of<NumberError>([&] { load_model(checkpoint("last"), model); }),
            "graph.weight" + where);
}

TEST_F(Restore, WhatIsNotFiniteIsNotSaved) {
  RunState state(experiment(),
                 models::build(experiment().model, data::image_spec({.kind = "digits"}), 0));
  TensorMap tensors = read_tensors(checkpoint("last"));
  tensors.at("optimizer.fc.bias.momentum_buffer").fill_(INFINITY);
  state.optimizer.load(tensors);
  EXPECT_EQ(
      message_of<NumberError>([&] { save_checkpoint(checkpoint("new"), experiment(), state); }),
      "optimizer.fc.bias.momentum_buffer is not finite: epoch 1, step 1");
  EXPECT_FALSE(std::filesystem::exists(checkpoint("new")));
}

TEST_F(Restore, AThousandFlippedBitsAreSeen) {
  const std::filesystem::path last = checkpoint("last");
  const auto size = std::filesystem::file_size(last);
  std::mt19937_64 generator(4);
  std::fstream file(last, std::ios::in | std::ios::out | std::ios::binary);
  const auto flip = [&](uint64_t at, int bit) {
    const int byte = file.seekg(std::streamoff(at)).get();
    file.seekp(std::streamoff(at)).put(char(byte ^ (1 << bit))).flush();
  };
  for (int i = 0; i < 1000; ++i) {
    const uint64_t at = generator() % size;
    const int bit = int(generator() % 8);
    flip(at, bit);
    EXPECT_EQ(message_of<CheckpointError>([&] { read_tensors(last); }).rfind(last.string(), 0), 0u)
        << "byte " << at << ", bit " << bit;
    flip(at, bit);
  }
  EXPECT_NO_THROW(read_tensors(last));
}

TEST_F(Restore, RefusesAnotherExperimentAndNamesWhatDiffers) {
  EXPECT_EQ(message_of<CheckpointError>([&] {
              train("auto", {"training.optimizer.momentum=0.5", "seed=4", "training.epochs=9"});
            }),
            checkpoint("last").string() +
                ": a checkpoint of another experiment ('tiny', which differs in seed, "
                "training.optimizer.momentum); name another --output, or start over with --resume "
                "never");
}

TEST_F(Restore, AnotherModelIsToldByNames) {
  TensorMap tensors = read_tensors(checkpoint("last"));
  for (const char* name : {"model.fc.weight", "model.fc.bias"}) {
    tensors.at(name) = tensors.at(name).slice(0, 0, 7);  // seven classes
  }
  tensors["model.fc.scale"] = at::ones({1});
  tensors.erase("model.conv.weight");
  write_tensors(checkpoint("last"), tensors);
  models::Model model = models::build(experiment().model, data::image_spec({.kind = "digits"}), 0);
  EXPECT_EQ(message_of<CheckpointError>([&] { load_model(checkpoint("last"), model); }),
            checkpoint("last").string() +
                ": does not fit this model: missing: conv.weight; unexpected: fc.scale; "
                "mismatched: fc.bias: expected [10], got [7], fc.weight: expected [10, 6], "
                "got [7, 6]");
}

TEST_F(Restore, GoingBackGivesUpTheFuture) {
  train("auto");
  EXPECT_EQ(train(checkpoint("init").string()).epochs, 2);
  EXPECT_EQ(read_tensors(checkpoint("best")).count("progress.epoch"), 1u);
  std::ifstream metrics(folder_.path() / "run" / "metrics.jsonl");
  const std::string rows(std::istreambuf_iterator<char>(metrics), {});
  EXPECT_EQ(std::count(rows.begin(), rows.end(), '\n'), 4);
}

}  // namespace
}  // namespace rewire::train
