// rewire check CONFIG: parse, resolve, build; opens no data.
#include <fmt/format.h>

#include "command.h"
#include "train/optimizer.h"

namespace rewire::cli {
namespace {

void check(const Common& common) {
  const config::Experiment experiment = common.experiment();
  const models::Model model = load_model(experiment, std::nullopt).model;
  const train::Optimizer optimizer(experiment.training.optimizer, model.module);  // knows its names
  show(config::to_yaml(experiment));
  const models::EdgeCount edges = models::count_edges(model);
  say(fmt::format(
      "{}: {} parameters, {} edges of which {} are in use, {} multiply-accumulates an image",
      experiment.name, models::count_parameters(model), edges.kept, edges.in_use,
      models::count_macs(model)));
  if (!common.json) return;
  nlohmann::ordered_json json = {{"name", experiment.name}};
  describe(model, json);
  print_json(json);
}

}  // namespace

void add_check(CLI::App& app) {
  auto common = std::make_shared<Common>();
  CLI::App* command = app.add_subcommand(
      "check", "Read a config, build its model, print it with every key resolved");
  common->add_to(*command);
  command->callback([common] { check(*common); });
}

}  // namespace rewire::cli
