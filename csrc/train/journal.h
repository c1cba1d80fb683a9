// What an epoch leaves behind for people: a row of metrics.jsonl a split, TensorBoard's curves and
// pictures of the wiring.
#pragma once

#include "config/experiment.h"
#include "train/event_file.h"
#include "train/metrics.h"
#include "train/run_folder.h"
#include "train/run_state.h"

namespace rewire::train {

class Journal {
 public:
  // Keeps the rows and the curves of the epochs before the one in progress.
  Journal(const RunFolder& folder, const RunState& state);

  // Writes down the epoch that ends now, and remembers its edges in state.edges_before. `rate` is
  // the learning rate of its last step. Throws Error where metrics.jsonl cannot be written, `state`
  // untouched.
  void epoch(RunState& state, const Sums& test, double rate);

  // Adds the epoch last written down to TensorBoard's curves. Throws Error where that cannot be.
  void curves();

  // Draws the wired layers of an epoch, for TensorBoard and, where `to_files`, into wiring/; for
  // the former, too, how many edges their channels have, and how many channels have none.
  void pictures(const models::Model& model, int64_t epoch, bool to_files);

  // Edges kept at the end of the last epoch written and not at the end of the one before.
  int64_t edges_changed() const { return edges_changed_; }

 private:
  // `degrees` [channels] int64.
  void degree_curves(const std::string& name, const at::Tensor& degrees, int64_t epoch);

  std::filesystem::path folder_;  // of the pictures
  MetricsFile metrics_;
  EventFile events_;
  std::vector<nlohmann::ordered_json> rows_;  // of the epoch last written down
  int64_t edges_changed_ = 0;
};

}  // namespace rewire::train
