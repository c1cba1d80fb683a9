// rewire import-dnw IN --to OUT --config CONFIG: a published checkpoint as one of this program.
#include <fmt/format.h>

#include "command.h"
#include "train/published.h"

namespace rewire::cli {
namespace {

struct ImportDnwOptions {
  Common common;
  std::string from;
  std::string to;
};

void import_dnw(const ImportDnwOptions& options) {
  config::Experiment experiment = options.common.experiment();
  train::RunState state(
      experiment,
      models::build(experiment.model, data::image_spec(experiment.data), experiment.seed));
  at::manual_seed(uint64_t(experiment.seed));
  const train::Published published = train::load_published(options.from, experiment, state);
  if (experiment.execution == "auto") {  // what a training records when it begins
    experiment.execution = models::faster_execution(state.model);
  }
  train::save_checkpoint(options.to, experiment, state);
  const std::string best =
      published.best ? fmt::format(", best top1 {:.2f} %", *published.best) : "";
  say(fmt::format("{}: {} as '{}', after {} epoch{}{}, {} momentum", options.to, options.from,
                  experiment.name, published.epochs, published.epochs == 1 ? "" : "s", best,
                  published.optimizer ? "with its" : "without"));
  if (!options.common.json) return;
  nlohmann::ordered_json json = {{"name", experiment.name},
                                 {"file", options.from},
                                 {"checkpoint", options.to},
                                 {"epochs", published.epochs}};
  json["best_top1"] =
      published.best ? nlohmann::ordered_json(*published.best) : nlohmann::ordered_json();
  json["momentum"] = published.optimizer;
  describe(state.model, json);
  print_json(json);
}

}  // namespace

void add_import_dnw(CLI::App& app) {
  auto options = std::make_shared<ImportDnwOptions>();
  CLI::App* command = app.add_subcommand(
      "import-dnw", "A checkpoint of the published PyTorch code, read without executing anything");
  command->add_option("IN", options->from, "Checkpoint (.pt, .pth.tar)")->required();
  command->add_option("--to", options->to, "File to write")->required()->type_name("FILE");
  command->add_option("--config", options->common.config, "Experiment file that it is of")
      ->required()
      ->type_name("CONFIG");
  options->common.add_to(*command, /*takes_config=*/false);
  command->callback([options] { import_dnw(*options); });
}

}  // namespace rewire::cli
