// rewire export CONFIG [--checkpoint FILE] --to FILE [--fast-eval]
#include <fmt/format.h>

#include <sstream>

#include "command.h"
#include "data/file.h"
#include "error.h"
#include "script/safetensors.h"

namespace rewire::cli {
namespace {

struct ExportOptions {
  Common common;
  std::optional<std::string> checkpoint;
  std::string to;
  bool fast_eval = false;
};

std::string torchscript_bytes(const models::Model& model) {
  std::ostringstream stream;
  model.module.save(stream);
  return stream.str();
}

void export_model(const ExportOptions& options) {
  const std::filesystem::path to = options.to;
  const std::string ending = to.extension();
  if (ending != ".pt" && ending != ".safetensors") {
    throw ConfigError(
        "--to: expected a name that ends in .pt (TorchScript) or .safetensors, got '" + options.to +
        "'");
  }
  const config::Experiment experiment = options.common.experiment();
  Loaded loaded = load_model(experiment, options.checkpoint);
  if (options.fast_eval) make_fast(experiment, loaded);
  const models::Model& model = loaded.model;
  data::write_atomically(
      to, ending == ".pt" ? torchscript_bytes(model)
                          : script::to_safetensors(
                                script::named_tensors(model.module),
                                {{"format", "pt"}, {"config", config::to_yaml(experiment)}}));
  say(fmt::format("{}: {} bytes, {}", options.to, std::filesystem::file_size(to),
                  options.checkpoint
                      ? "weights of " + *options.checkpoint
                      : fmt::format("freshly initialised, seed {}", experiment.seed)));
  if (!options.common.json) return;
  nlohmann::ordered_json json = {{"name", experiment.name}, {"file", options.to}};
  json["checkpoint"] = options.checkpoint ? nlohmann::ordered_json(*options.checkpoint) : nullptr;
  describe(model, json);
  print_json(json);
}

}  // namespace

void add_export(CLI::App& app) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command = app.add_subcommand(
      "export", "Write the model as TorchScript (.pt) or its tensors (.safetensors)");
  options->common.add_to(*command);
  command->add_option("--checkpoint", options->checkpoint, "Weights (default: freshly initialised)")
      ->type_name("FILE");
  command->add_option("--to", options->to, "File to write")->required()->type_name("FILE");
  command->add_flag(
      "--fast-eval", options->fast_eval,
      "With the wiring fixed, and without channels or neurons that nothing reads where the "
      "network can be built without them: for evaluation alone");
  command->callback([options] { export_model(*options); });
}

}  // namespace rewire::cli
