#include <fmt/format.h>
#include <torch/torch.h>

#include <chrono>

#include "data/loader.h"
#include "train/forward.h"
#include "train/skipped.h"
#include "train/trainer.h"

namespace rewire::train {

Sums evaluate(models::Model& model, const data::Dataset& dataset,
              const config::Experiment& experiment, const std::atomic<int>* stop,
              const Watcher& watcher, const Peers& peers) {
  const torch::InferenceMode guard;
  const auto start = std::chrono::steady_clock::now();
  const config::TrainingDescription& training = experiment.training;
  data::LoaderOptions options;
  options.batch_size = training.test_batch_size ? training.test_batch_size : training.batch_size;
  options.normalize = experiment.data.normalize;
  options.workers = experiment.data.workers;
  options.part = peers.rank();
  options.parts = peers.count();
  options.skip_bad = experiment.data.on_bad_image == "skip";
  data::Loader loader(dataset, options);
  Sums sums(training.topk, experiment.data.within);
  model.module.eval();
  while (const auto batch = loader.next()) {
    if (stop && stop->load()) break;
    count_skipped(*batch, sums, watcher.log);
    if (batch->labels.size(0) > 0) {
      const Forward answer =
          forward(model, batch->images, batch->labels, {training.precision, training.loss},
                  fmt::format("test set, batch {}", batch->index));
      sums.add(answer.value, answer.logits, batch->labels);
    }
    sums.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (watcher.step && sums.images() > 0) {
      watcher.step({.training = false,
                    .batch = batch->index + 1,
                    .batches = loader.num_batches(),
                    .loss = sums.loss(),
                    .top1 = sums.top(0),
                    .images_per_second = double(sums.images()) / sums.seconds,
                    .seconds_left = sums.seconds / double(batch->index + 1) *
                                    double(loader.num_batches() - batch->index - 1)});
    }
  }
  if (peers.alone() && (!stop || !stop->load())) refuse_all_skipped(sums);
  return sums;
}

}  // namespace rewire::train
