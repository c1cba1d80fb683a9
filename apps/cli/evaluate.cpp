// rewire evaluate CONFIG --checkpoint FILE
#include <fmt/format.h>

#include "command.h"

namespace rewire::cli {
namespace {

void evaluate(const Common& common, const std::string& checkpoint) {
  const config::Experiment experiment = common.experiment();
  const data::Dataset test = data::open(experiment.data, common.data_root(), data::Split::test);
  auto [model, epochs] = load_model(experiment, checkpoint);
  defer_signals();
  const train::Sums sums = train::evaluate(model, test, experiment, &stop_signal(), watcher());
  if (stop_signal()) throw ExitStatus{128 + stop_signal()};
  say(fmt::format("{}: top1 {:.2f} %, loss {:.4f} on {} test images", checkpoint, sums.top(0),
                  sums.loss(), sums.images()));
  if (!common.json) return;
  nlohmann::ordered_json json = {{"name", experiment.name}};
  json.update(sums.json());
  json.erase("images");
  json["samples"] = sums.images();
  json["epochs"] = epochs;
  json["seconds"] = sums.seconds;
  json["images_per_second"] = double(sums.images()) / sums.seconds;
  describe(model, json);
  json["checkpoint"] = checkpoint;
  print_json(json);
}

}  // namespace

void add_evaluate(CLI::App& app) {
  auto common = std::make_shared<Common>();
  auto checkpoint = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("evaluate", "Loss and accuracy of a checkpoint on the test set");
  common->add_to(*command);
  command->add_option("--checkpoint", *checkpoint, "Checkpoint to evaluate")
      ->required()
      ->type_name("FILE");
  command->callback([=] { evaluate(*common, *checkpoint); });
}

}  // namespace rewire::cli
