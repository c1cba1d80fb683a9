// Results of one experiment over several seeds, beside the published figure.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/experiment.h"

namespace rewire::cli {

// What one finished run gave.
struct Outcome {
  int64_t seed = 0;
  double top1 = 0;  // per cent, after the last epoch
  double best_top1 = 0;
  double seconds = 0;
};

struct Summary {
  std::string name;
  int64_t epochs = 0;  // of each run
  std::optional<config::Expectation> expect;
  std::vector<Outcome> runs;

  double mean() const;  // of top1; at least one run
  // Of top1 among the runs, divided by one less than their number; nothing for a single run.
  std::optional<double> deviation() const;
};

// "80.9 +- 0.6 (source)"; without a deviation where none is published.
std::string published_text(const config::Expectation& expect);

// A table, a row an experiment, with a heading; it ends with a newline.
std::string table_of(const std::vector<Summary>& summaries);
// {"name", "epochs", "runs", "top1", "deviation", "best_top1", "seconds", "seeds", "published",
// "within", "source"}; null for what there is not.
nlohmann::ordered_json json_of(const Summary& summary);

}  // namespace rewire::cli
