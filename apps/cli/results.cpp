// rewire results DIR...: a table of finished runs.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "command.h"
#include "error.h"
#include "summary.h"

namespace rewire::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.yaml";
constexpr int kMaxDepth = 4;  // of folders of folders of runs

struct ResultsOptions {
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
  std::set<int64_t> epochs;
  outcome.seed = experiment.seed;
  for (std::string line; std::getline(rows, line);) {
    const auto row = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const auto is_number = [&](const char* key) {
      return row.contains(key) && row[key].is_number();
    };
    if (!row.is_object() || !is_number("epoch") || !is_number("seconds") || !is_number("top1")) {
      continue;
    }
    outcome.seconds += row["seconds"].get<double>();
    if (!row.contains("split") || row["split"] != "test") continue;
    outcome.top1 = row["top1"].get<double>();
    outcome.best_top1 = std::max(outcome.best_top1, outcome.top1);
    epochs.insert(row["epoch"].get<int64_t>());
  }
  return !epochs.empty() && int64_t(epochs.size()) >= experiment.training.epochs;
}

// Runs that differ in nothing but their seed, and in what changes no number.
struct Group {
  config::Experiment experiment;
  Summary summary;

  bool takes(config::Experiment other) const {
    other.seed = experiment.seed;
    other.execution = experiment.execution;
    other.data.workers = experiment.data.workers;
    return config::differing_keys(experiment, other).empty();
  }
  bool has(int64_t seed) const {
    return std::any_of(summary.runs.begin(), summary.runs.end(),
                       [&](const Outcome& run) { return run.seed == seed; });
  }
};

// Puts a run into its group, or says why not.
bool add_run(const fs::path& folder, std::vector<Group>& groups) {
  const auto leave_out = [&](const std::string& why) {
    complain(fmt::format("{}: {}, left out", folder.string(), why));
    return false;
  };
  config::Experiment experiment;
  try {
    experiment = config::load(folder / kConfig);
  } catch (const ConfigError& error) {
    return leave_out(error.what());
  }
  Outcome outcome;
  if (!finished(folder, experiment, outcome)) return leave_out("not finished");
  auto group = std::find_if(groups.begin(), groups.end(),
                            [&](const Group& known) { return known.takes(experiment); });
  if (group == groups.end()) {
    group = groups.insert(
        group, {experiment, {experiment.name, experiment.training.epochs, experiment.expect, {}}});
  }
  if (group->has(outcome.seed)) return leave_out(fmt::format("seed {} again", outcome.seed));
  group->summary.runs.push_back(outcome);
  return true;
}

void results(const ResultsOptions& options) {
  std::vector<fs::path> runs;
  for (const std::string& folder : options.folders) {
    if (!fs::is_directory(folder)) throw ConfigError(folder + ": no such folder");
    const size_t before = runs.size();
    find_runs(fs::canonical(folder), 0, runs);
    if (runs.size() == before) throw ConfigError(folder + ": no run in it");
  }
  std::vector<Group> groups;
  std::set<fs::path> seen;
  int64_t left_out = 0;
  for (const fs::path& folder : runs) {
    if (seen.insert(folder).second && !add_run(folder, groups)) ++left_out;
  }
  std::vector<Summary> summaries;
  for (const Group& group : groups) summaries.push_back(group.summary);
  const std::string table = table_of(summaries);
  options.json ? complain(table.substr(0, table.size() - 1)) : show(table);
  if (!options.json) return;
  nlohmann::ordered_json experiments = nlohmann::ordered_json::array();
  for (const Summary& summary : summaries) experiments.push_back(json_of(summary));
  print_json({{"experiments", experiments}, {"left_out", left_out}});
}

}  // namespace

void add_results(CLI::App& app) {
  auto options = std::make_shared<ResultsOptions>();
  CLI::App* command = app.add_subcommand(
      "results", "A table of finished runs: mean, deviation over seeds, published figure");
  command->add_option("DIR", options->folders, "Folders of runs, or folders of those")->required();
  command->add_flag("--json", options->json, "Print the results as one JSON object");
  command->callback([options] { results(*options); });
}

}  // namespace rewire::cli
