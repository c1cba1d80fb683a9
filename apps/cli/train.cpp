// rewire train CONFIG [--output DIR] [--resume auto|never|FILE]; under torchrun, one process of
// several, of which the first speaks.
#include <fmt/format.h>

#include "command.h"
#include "summary.h"

namespace rewire::cli {
namespace {

struct TrainOptions {
  Common common;
  std::optional<std::string> output;
  std::string resume = "auto";
};

// "top1 80.31 %, published 80.9 +- 0.6 (source)"
std::string outcome(const config::Experiment& experiment, const train::RunResult& result) {
  std::string text = fmt::format(
      "top1 {:.2f} % (best {:.2f} %), loss {:.4f} after {} epoch{} in {:.0f} s", result.top1,
      result.best_top1, result.loss, result.epochs, result.epochs == 1 ? "" : "s", result.seconds);
  if (experiment.expect) text += "; published " + published_text(*experiment.expect);
  return text;
}

void train(const TrainOptions& options) {
  const config::Experiment experiment = options.common.experiment();
  const train::Peers peers = train::Peers::join();
  defer_signals();
  const train::RunOptions run{.output = options.output.value_or("runs/" + experiment.name),
                              .data_root = options.common.data_root(),
                              .resume = options.resume,
                              .device = options.common.run_device(),
                              .stop = &stop_signal(),
                              .watcher = peers.leads() ? watcher() : train::Watcher(),
                              .peers = peers};
  const train::RunResult result = train::run(experiment, run);
  if (!peers.leads()) {
    if (result.stopped_by) throw ExitStatus{128 + result.stopped_by};
    return;
  }
  if (result.stopped_by) {
    say(fmt::format("stopped by {} and saved: {}; the same command goes on from there",
                    signal_name(result.stopped_by), result.checkpoint.string()));
    throw ExitStatus{128 + result.stopped_by};
  }
  say(outcome(experiment, result));
  if (!options.common.json) return;
  print_json(result_json(experiment, result));
}

}  // namespace

nlohmann::ordered_json result_json(const config::Experiment& experiment,
                                   const train::RunResult& result) {
  return {{"name", experiment.name},
          {"top1", result.top1},
          {"best_top1", result.best_top1},
          {"loss", result.loss},
          {"epochs", result.epochs},
          {"seconds", result.seconds},
          {"images_per_second", result.images_per_second},
          {"edges", result.edges.kept},
          {"edges_in_use", result.edges.in_use},
          {"edges_moved", result.edges_moved},
          {"parameters", result.parameters},
          {"checkpoint", result.checkpoint.string()}};
}

void add_train(CLI::App& app) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = app.add_subcommand("train", "Train an experiment, or go on with it");
  options->common.add_to(*command);
  command->add_option("--output", options->output, "The experiment's folder (default: runs/<name>)")
      ->type_name("DIR");
  command->add_option("--resume", options->resume, "auto, never, or a checkpoint to go on from")
      ->capture_default_str()
      ->type_name("WHAT");
  command->callback([options] { train(*options); });
}

}  // namespace rewire::cli
