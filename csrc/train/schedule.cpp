#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rewire::train {
namespace {

double cosine(double lr, double part) { return 0.5 * lr * (1 + std::cos(std::numbers::pi * part)); }

}  // namespace

double learning_rate(const config::ScheduleDescription& schedule, double lr, const Extent& extent,
                     int64_t step) {
  const int64_t epoch = step / extent.batches;
  const int64_t warmup = schedule.warmup_epochs;
  const bool by_iteration =
      schedule.per == "iteration" && (schedule.kind == "cosine" || schedule.kind == "linear");
  if (epoch < warmup) {
    return by_iteration ? lr * double(step + 1) / double(warmup * extent.batches)
                        : lr * double(epoch + 1) / double(warmup);
  }
  const double epochs_left = double(extent.epochs - warmup);
  const double part = double(epoch - warmup) / epochs_left;
  if (schedule.kind == "multistep") {
    const auto passed = std::count_if(schedule.milestones.begin(), schedule.milestones.end(),
                                      [&](int64_t milestone) { return milestone <= epoch; });
    return lr * std::pow(schedule.gamma, double(passed));
  }
  if (schedule.kind == "exponential") return lr * std::pow(schedule.gamma, double(epoch - warmup));
  if (schedule.kind == "cosine") {
    if (!by_iteration) return cosine(lr, part);
    const double steps = epochs_left * double(extent.batches);
    return cosine(lr, double(step - warmup * extent.batches + 1) / steps);
  }
  if (schedule.kind == "linear") {
    double rate = lr * (1 - part);
    if (by_iteration) {
      const double taken = double((step % extent.batches + 1) * extent.batch_size);
      rate -= lr / epochs_left * taken / double(extent.images);
    }
    return std::max(rate, 0.0);
  }
  return lr;
}

}  // namespace rewire::train
