// What a checkpoint must hold to be gone on from: files of valid checksum and wrong content.
#include "train/run_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error.h"
#include "support/files.h"
#include "train/trainer.h"

namespace rewire::train {
namespace {

using test::message_of;

constexpr const char* kTiny = R"(name: tiny
data: {kind: digits, normalize: {mean: [0.3], std: [0.4]}, workers: 0}
model: {kind: static, dim: 20, layers: 3, downsample_dim: 4, feature_dim: 6, stem: single, pool: global,
        wiring: {kind: dnw, prune_rate: 0.5}}
training: {epochs: 2, batch_size: 800, optimizer: {kind: sgd, lr: 0.1, momentum: 0.9}}
)";

class Restore : public testing::Test {
 protected:
  Restore() { train("never"); }

  RunResult train(const std::string& resume) {
    return run(
        config::parse(kTiny, "tiny.yaml"),
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
