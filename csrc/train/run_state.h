// Where a training stands: all that a checkpoint holds besides the configuration.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "models/model.h"
#include "train/metrics.h"
#include "train/optimizer.h"

namespace rewire::train {

struct Best {
  double top1 = -1;  // per cent; below 0: no epoch has ended yet
  int64_t epoch = -1;
};

// What the last finished epoch showed on the test set.
struct LastTest {
  double top1 = -1;  // per cent; below 0: not known
  double loss = 0;
};

struct RunState {
  models::Model model;
  Optimizer optimizer;
  int64_t epoch = 0;                     // the epoch in progress
  int64_t batch_in_epoch = 0;            // batches of it that were learned from
  Sums sums;                             // of those batches
  std::vector<at::Tensor> edges_before;  // per wired layer, its edges when the last epoch ended
  Best best;
  LastTest last;
  double seconds = 0;  // of the epochs that ended

  RunState(const config::Experiment& experiment, models::Model built);
};

// "epoch 2, step 1": where the training stands, for people, who count from 1; a step is a batch.
std::string place_of(const RunState& state);

// A checkpoint: format of checkpoint_file.h, with the names
//   config (text), model.<name>, optimizer.<parameter>.<what>, generator (torch's CPU generator),
//   progress.{epoch,step_in_epoch,sums,best,last,seconds}, edges_before.<layer>; where images may
//   be skipped, progress.skipped; and, between the batches that make one step of the optimiser,
//   progress.gradients, how many there are of gradient.<parameter>
TensorMap tensors_of(const config::Experiment& experiment, const RunState& state);

// Writes one. Throws NumberError where a parameter, a buffer or the optimiser's state is not
// finite: what is broken never replaces a checkpoint that is not.
void save_checkpoint(const std::filesystem::path& path, const config::Experiment& experiment,
                     const RunState& state);

// Sets `state` to what a checkpoint holds; `path` names it in complaints.
// Throws CheckpointError where it is of another experiment (any key but training.epochs and those
// that change no number differs) or its tensors are not those that this program would write,
// NumberError where they are not finite.
void restore(const std::filesystem::path& path, const TensorMap& tensors,
             const config::Experiment& experiment, RunState& state);

// The experiment that a checkpoint was written by.
config::Experiment experiment_of(const TensorMap& tensors, const std::filesystem::path& path);

// The epochs that had ended when a checkpoint was written.
int64_t finished_epochs(const TensorMap& tensors, const std::filesystem::path& path);

// The parameters and buffers alone, from a checkpoint of whatever experiment.
// Throws CheckpointError with the missing, unexpected and mismatched names, NumberError where one
// is not finite.
struct Origin {
  config::Experiment experiment;
  int64_t epochs = 0;  // that had ended
};
Origin load_model(const std::filesystem::path& path, models::Model& model);

// The weights that a training begins with, and the edges of fine_tune that other weights choose.
// Throws as load_model does.
void load_start(const config::Start& start, const config::Experiment& experiment,
                models::Model& model);

}  // namespace rewire::train
