// Steps of the optimiser, each of one or more batches.
#pragma once

#include "config/experiment.h"
#include "data/batch.h"
#include "train/peers.h"
#include "train/run_state.h"
#include "train/schedule.h"

namespace rewire::train {

// The learning rate of the step that batch `batch` of epoch `epoch` is part of. extent: in batches,
// of which a step may take several.
double rate_of(int64_t batch, const config::Experiment& experiment, const Extent& extent,
               int64_t epoch);

// Learns from the batch at the place where `state` stands: its gradient joins the mean of those of
// its step, which is taken with the last batch of it. A step takes training.accumulate batches, the
// last one of an epoch what is left. Counts in state.sums and moves state on by a batch; with mixup
// an image counts by its own label. A batch of which every image was skipped adds nothing, and
// where that is all of a step, the optimiser does nothing. With `gradients` of peers, `batch` is
// this process's part of one, and the gradient that of the whole. Throws NumberError as forward()
// does.
void learn_from(const data::Batch& batch, const config::Experiment& experiment,
                const data::ImageSpec& spec, const Extent& extent, GradientMean& gradients,
                RunState& state);

}  // namespace rewire::train
