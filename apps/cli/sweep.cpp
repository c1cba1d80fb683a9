// rewire sweep CONFIG --seeds 0..4: the same experiment with several seeds.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "command.h"
#include "error.h"
#include "summary.h"

namespace rewire::cli {
namespace {

constexpr int64_t kMaxSeeds = 1000;

struct SweepOptions {
  Common common;
  std::string seeds;
  std::optional<std::string> output;
  std::string resume = "auto";
};

int64_t seed_of(std::string_view text) {
  int64_t seed = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size() || seed < 0) {
    throw ConfigError("--seeds: expected numbers like 0..4 or 0,3,7, got '" + std::string(text) +
                      "'");
  }
  return seed;
}

// "0..2,7": 0, 1, 2, 7.
std::vector<int64_t> seeds_of(std::string_view text) {
  std::vector<int64_t> seeds;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const size_t dots = part.find("..");
    const int64_t first = seed_of(part.substr(0, dots));
    const int64_t last = dots == part.npos ? first : seed_of(part.substr(dots + 2));
    if (last < first || last - first >= kMaxSeeds - int64_t(seeds.size())) {
      throw ConfigError(
          fmt::format("--seeds: expected at most {} ascending seeds, got '{}'", kMaxSeeds, part));
    }
    for (int64_t seed = first; seed <= last; ++seed) {
      if (std::find(seeds.begin(), seeds.end(), seed) != seeds.end()) {
        throw ConfigError(fmt::format("--seeds: {} twice", seed));
      }
      seeds.push_back(seed);
    }
    if (comma == text.npos) return seeds;
    text.remove_prefix(comma + 1);
  }
}

void sweep(const SweepOptions& options) {
  config::Experiment experiment = options.common.experiment();
  const std::vector<int64_t> seeds = seeds_of(options.seeds);
  const std::filesystem::path output =
      options.output.value_or("runs/" + experiment.name + "-seeds");
  defer_signals();
  Summary summary{experiment.name, experiment.training.epochs, experiment.expect, {}};
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const int64_t seed : seeds) {
    experiment.seed = seed;
    const train::RunOptions run{.output = output / fmt::format("seed-{}", seed),
                                .data_root = options.common.data_root(),
                                .resume = options.resume,
                                .device = options.common.run_device(),
                                .stop = &stop_signal(),
                                .watcher = watcher()};
    const train::RunResult result = train::run(experiment, run);
    if (result.stopped_by) {
      say(fmt::format("stopped by {} and saved: {}; --resume auto goes on from there",
                      signal_name(result.stopped_by), result.checkpoint.string()));
      throw ExitStatus{128 + result.stopped_by};
    }
    summary.runs.push_back({seed, result.top1, result.best_top1, result.seconds});
    runs.push_back(result_json(experiment, result));
    runs.back()["seed"] = seed;
  }
  const std::string table = table_of({summary});
  options.common.json ? complain(table.substr(0, table.size() - 1)) : show(table);
  if (!options.common.json) return;
  nlohmann::ordered_json json = json_of(summary);
  json["results"] = runs;
  print_json(json);
}

}  // namespace

void add_sweep(CLI::App& app) {
  auto options = std::make_shared<SweepOptions>();
  CLI::App* command =
      app.add_subcommand("sweep", "The same experiment with several seeds: mean and deviation");
  options->common.add_to(*command);
  command->add_option("--seeds", options->seeds, "As 0..4 or 0,3,7")
      ->required()
      ->type_name("SEEDS");
  command
      ->add_option("--output", options->output,
                   "The folder of the runs' folders seed-N (default: runs/<name>-seeds)")
      ->type_name("DIR");
  command
      ->add_option("--resume", options->resume,
                   "auto: runs that are there go on, or are done; never: all start over")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "never"}));
  command->callback([options] { sweep(*options); });
}

}  // namespace rewire::cli
