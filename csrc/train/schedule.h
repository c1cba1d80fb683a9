// The learning rate as a pure function of the step: nothing to save, nothing to restore.
#pragma once

#include <cstdint>

#include "config/training.h"

namespace rewire::train {

// How long a training is.
struct Extent {
  int64_t epochs = 1;
  int64_t batches = 1;     // an epoch
  int64_t images = 1;      // an epoch
  int64_t batch_size = 1;  // of a full batch
};

// The learning rate of optimiser step `step`, counted from 0 over the whole training. With e the
// epoch, E the epochs, w warmup_epochs and b the batches an epoch:
//   warm-up, e < w:        lr (e + 1) / w, or with `per: iteration` lr (step + 1) / (w b)
//   constant:              lr
//   multistep:             lr gamma^(milestones <= e)
//   exponential:           lr gamma^(e - w)
//   cosine, iteration:     0.5 lr (1 + cos(pi (step - w b + 1) / ((E - w) b))), so 0 at the last
//   step cosine, epoch:         0.5 lr (1 + cos(pi (e - w) / (E - w))) linear, epoch:         lr (1
//   - (e - w) / (E - w)) linear, iteration:     the same, less lr / (E - w) x batch_size / images
//   for each step of the
//                          epoch up to this one, a smaller last batch counting in full; at least 0
// Source: the published code of Wortsman, Farhadi, Rastegari 2019, which lets `linear` end below 0.
double learning_rate(const config::ScheduleDescription& schedule, double lr, const Extent& extent,
                     int64_t step);

}  // namespace rewire::train
