#include "train/step.h"

#include <torch/torch.h>

#include <algorithm>

#include "train/forward.h"
#include "train/mixup.h"

namespace rewire::train {
namespace {

Forward answer_to(const data::Batch& batch, const config::Experiment& experiment,
                  const data::ImageSpec& spec, RunState& state) {
  const config::TrainingDescription& training = experiment.training;
  const Pass pass{training.precision, training.loss, training.label_smoothing};
  const std::string place = place_of(state);
  if (training.mixup == 0) {
    return forward(state.model, batch.images, batch.labels, pass, place);
  }
  const Mixture mixture = draw_mixture(uint64_t(experiment.seed), state.epoch, batch.index,
                                       batch.labels.size(0), training.mixup);
  const Mixed mixed = mix(batch, mixture, int64_t(spec.classes.size()));
  return forward(state.model, mixed.images, mixed.targets, pass, place);
}

}  // namespace

double rate_of(int64_t batch, const config::Experiment& experiment, const Extent& extent,
               int64_t epoch) {
  const config::TrainingDescription& training = experiment.training;
  Extent steps = extent;
  steps.batches = (extent.batches + training.accumulate - 1) / training.accumulate;
  steps.batch_size = extent.batch_size * training.accumulate;
  return learning_rate(training.schedule, training.optimizer.lr, steps,
                       epoch * steps.batches + batch / training.accumulate);
}

void learn_from(const data::Batch& batch, const config::Experiment& experiment,
                const data::ImageSpec& spec, const Extent& extent, GradientMean& gradients,
                RunState& state) {
  const Peers& peers = gradients.peers();
  const int64_t accumulate = experiment.training.accumulate;
  const int64_t first = state.batch_in_epoch / accumulate * accumulate;
  const int64_t last = std::min(first + accumulate, extent.batches) - 1;
  if (state.batch_in_epoch == first) state.optimizer.zero_grad();
  const int64_t own = batch.labels.size(0), all = peers.sum(own);
  if (all > 0) {
    const Forward answer = answer_to(batch, experiment, spec, state);
    // A mean over processes is one over images where each loss has the weight of its images.
    const double parts =
        double(last - first + 1) * double(all) / (double(own) * double(peers.count()));
    gradients.begin();
    (parts == 1 ? answer.loss : answer.loss / parts).backward();
    gradients.finish();
    if (own > 0) state.sums.add(answer.value, answer.logits.detach(), batch.labels);
  }
  if (state.batch_in_epoch == last) {
    state.optimizer.set_learning_rate(rate_of(last, experiment, extent, state.epoch));
    state.optimizer.step();
  }
  ++state.batch_in_epoch;
}

}  // namespace rewire::train
