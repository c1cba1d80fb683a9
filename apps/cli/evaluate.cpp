// rewire evaluate CONFIG --checkpoint FILE [--fast-eval]
#include <fmt/format.h>

#include "command.h"

namespace rewire::cli {
namespace {

struct EvaluateOptions {
  Common common;
  std::string checkpoint;
  bool fast_eval = false;
};

void evaluate(const EvaluateOptions& options) {
  const Common& common = options.common;
  const std::string& checkpoint = options.checkpoint;
  const config::Experiment experiment = common.experiment();
  const at::Device device = common.run_device();
  const data::Dataset test = data::open(experiment.data, common.data_root(), data::Split::test);
  Loaded loaded = load_model(experiment, checkpoint);
  if (options.fast_eval) make_fast(experiment, loaded);
  auto& [model, epochs] = loaded;
  models::move_to(model, device);
  defer_signals();
  const train::Sums sums = train::evaluate(model, test, experiment, &stop_signal(), watcher());
  if (stop_signal()) throw ExitStatus{128 + stop_signal()};
  const std::string skipped =
      sums.skipped > 0 ? fmt::format(", {} skipped", sums.skipped) : std::string();
  say(fmt::format("{}: top1 {:.2f} %, loss {:.4f} on {} test images{}", checkpoint, sums.top(0),
                  sums.loss(), sums.images(), skipped));
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
  auto options = std::make_shared<EvaluateOptions>();
  CLI::App* command =
      app.add_subcommand("evaluate", "Loss and accuracy of a checkpoint on the test set");
  options->common.add_to(*command);
  command->add_option("--checkpoint", options->checkpoint, "Checkpoint to evaluate")
      ->required()
      ->type_name("FILE");
  command->add_flag(
      "--fast-eval", options->fast_eval,
      "With the wiring fixed, and without channels or neurons that nothing reads where the "
      "network can be built without them: the same results");
  command->callback([options] { evaluate(*options); });
}

}  // namespace rewire::cli
