// The loop: epochs of optimiser steps, evaluation, metrics, checkpoints.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>

#include "config/experiment.h"
#include "data/dataset.h"
#include "models/model.h"
#include "train/metrics.h"
#include "train/peers.h"

namespace rewire::train {

// Where a pass over the data stands, after each batch.
struct StepReport {
  bool training = true;
  int64_t epoch = 0;  // from 0
  int64_t epochs = 0;
  int64_t batch = 0;  // batches done
  int64_t batches = 0;
  double loss = 0;  // means so far
  double top1 = 0;
  double images_per_second = 0;
  double seconds_left = 0;  // of the whole training, at this speed
};

// Those who watch. Either may be empty.
struct Watcher {
  std::function<void(const std::string&)> log;
  std::function<void(const StepReport&)> step;
};

struct RunOptions {
  std::filesystem::path output;  // the experiment's folder
  std::filesystem::path data_root;
  std::string resume = "auto";   // auto, never, or a checkpoint's path
  at::Device device = at::kCPU;  // that trains; checkpoints are for any
  // Set to a signal's number to stop: the step in work is finished, a checkpoint written.
  const std::atomic<int>* stop = nullptr;
  Watcher watcher;
  Peers peers = {};  // that train too, each in its own process
};

struct RunResult {
  double top1 = 0;  // per cent, test set, after the last finished epoch
  double loss = 0;
  double best_top1 = 0;
  int64_t epochs = 0;            // finished
  double seconds = 0;            // of training and testing, earlier parts of a resumed run included
  double images_per_second = 0;  // training images, in this process
  models::EdgeCount edges;
  int64_t edges_moved = 0;  // kept now and not at the start
  int64_t parameters = 0;
  std::filesystem::path checkpoint;
  int stopped_by = 0;  // the signal that ended it early
};

// Trains `experiment` in options.output, going on from a checkpoint there where options.resume says
// so. With peers each batch is shared out: what is learned is, to rounding, what one process would
// learn with training.sync_batchnorm, and else where no norm takes its statistics of the batch. The
// leader alone has the folder, and watchers. On the CPU, the same experiment gives the same bits at
// equal threads, however often it was interrupted and whatever data.workers is. Throws ConfigError,
// DataError, CheckpointError and NumberError (a loss, a weight or an input that is not finite; the
// last checkpoint is kept).
RunResult run(const config::Experiment& experiment, const RunOptions& options);

// Loss and accuracy of `model` on a data set, in evaluation mode, without gradients. `stop` as in
// RunOptions; a stopped pass gives the sums so far. With peers, those of this process's part.
// Throws DataError where an image cannot be read or, if such are skipped, none can.
Sums evaluate(models::Model& model, const data::Dataset& dataset,
              const config::Experiment& experiment, const std::atomic<int>* stop = nullptr,
              const Watcher& watcher = {}, const Peers& peers = {});

}  // namespace rewire::train
