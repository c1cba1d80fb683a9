// rewire results DIR...: a table of finished runs.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "command.h"
#include "error.h"
#include "summary.h"

namespace rewire::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.yaml";
constexpr int kMaxDepth = 4;  // of folders of folders of runs

struct Options {
  std::vector<std::string> folders;
  bool json = false;
};

// The runs in `folder`, itself or below, by name.
void find_runs(const fs::path& folder, int depth, std::vector<fs::path>& runs) {
  if (fs::exists(folder / kConfig)) {
    runs.push_back(folder);
    return;
  }
  std::vector<fs::path> inside;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() && depth < kMaxDepth) inside.push_back(entry.path());
  }
  std::sort(inside.begin(), inside.end());
  for (const fs::path& path : inside) find_runs(path, depth + 1, runs);
}

// Whether all epochs ended; then what they gave.
bool finished(const fs::path& folder, const config::Experiment& experiment, Outcome& outcome) {
  std::ifstream rows(folder / "metrics.jsonl");
  int64_t epochs = 0;
  outcome.seed = experiment.seed;
  for (std::string line; std::getline(rows, line);) {
    const auto row = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!row.is_object() || !row.contains("split") || !row.contains("seconds")) continue;
    outcome.seconds += row.value("seconds", 0.0);
    if (row["split"] != "test") continue;
    outcome.top1 = row.value("top1", 0.0);
    outcome.best_top1 = std::max(outcome.best_top1, outcome.top1);
    ++epochs;
  }
  return epochs > 0 && epochs >= experiment.training.epochs;
}

void results(const Options& options) {
  std::vector<fs::path> runs;
  for (const std::string& folder : options.folders) {
    if (!fs::is_directory(folder)) throw ConfigError(folder + ": no such folder");
    const size_t before = runs.size();
    find_runs(folder, 0, runs);
    if (runs.size() == before) throw ConfigError(folder + ": no run in it");
  }
  std::vector<Summary> summaries;
  int64_t unfinished = 0;
  for (const fs::path& folder : runs) {
    const config::Experiment experiment = config::load(folder / kConfig);
    Outcome outcome;
    if (!finished(folder, experiment, outcome)) {
      complain(fmt::format("{}: not finished, left out", folder.string()));
      ++unfinished;
      continue;
    }
    auto found = std::find_if(summaries.begin(), summaries.end(), [&](const Summary& summary) {
      return summary.name == experiment.name;
    });
    if (found == summaries.end()) {
      found = summaries.insert(found, {experiment.name, experiment.expect, {}});
    }
    found->runs.push_back(outcome);
  }
  if (!options.json) return show(table_of(summaries));
  complain(table_of(summaries));
  nlohmann::ordered_json experiments = nlohmann::ordered_json::array();
  for (const Summary& summary : summaries) experiments.push_back(json_of(summary));
  print_json({{"experiments", experiments}, {"unfinished", unfinished}});
}

}  // namespace

void add_results(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "results", "A table of finished runs: mean, deviation over seeds, published figure");
  command->add_option("DIR", options->folders, "Folders of runs, or folders of those")->required();
  command->add_flag("--json", options->json, "Print the results as one JSON object");
  command->callback([options] { results(*options); });
}

}  // namespace rewire::cli
