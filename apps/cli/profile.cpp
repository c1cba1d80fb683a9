// rewire profile CONFIG [--checkpoint FILE]: what the network costs, layer by layer.
#include "models/profile.h"

#include <fmt/format.h>

#include "command.h"

namespace rewire::cli {
namespace {

struct ProfileOptions {
  Common common;
  std::optional<std::string> checkpoint;
  int64_t image_size = 0;  // 0: the data's own
};

nlohmann::ordered_json json_of(const models::Cost& cost) {
  return {{"parameters", cost.parameters}, {"macs", cost.macs}};
}

std::string row(const std::string& name, const models::LayerProfile& costs) {
  return fmt::format("{:<24}{:>14}{:>14}{:>14}{:>16}{:>16}{:>16}\n", name, costs.dense.parameters,
                     costs.wired.parameters, costs.fast_eval.parameters, costs.dense.macs,
                     costs.wired.macs, costs.fast_eval.macs);
}

void profile(const ProfileOptions& options) {
  const config::Experiment experiment = options.common.experiment();
  data::ImageSpec spec = data::image_spec(experiment.data);
  if (options.image_size > 0) spec.size = options.image_size;
  const models::Model model = load_model(experiment, options.checkpoint, spec).model;
  const auto layers = models::profile(model, experiment.model);

  models::LayerProfile total{"total", {}, {}, {}};
  std::string table =
      fmt::format("{:<24}{:>42}  {:>46}\n{:<24}{:>14}{:>14}{:>14}{:>16}{:>16}{:>16}\n", "",
                  "parameters", "multiply-accumulates", "layer", "dense", "wired", "fast-eval",
                  "dense", "wired", "fast-eval");
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const models::LayerProfile& layer : layers) {
    table += row(layer.name, layer);
    rows.push_back({{"name", layer.name},
                    {"dense", json_of(layer.dense)},
                    {"wired", json_of(layer.wired)},
                    {"fast_eval", json_of(layer.fast_eval)}});
    for (const auto part : {&models::LayerProfile::dense, &models::LayerProfile::wired,
                            &models::LayerProfile::fast_eval}) {
      (total.*part).parameters += (layer.*part).parameters;
      (total.*part).macs += (layer.*part).macs;
    }
  }
  table += row(total.name, total);
  if (!options.common.json) return show(table);
  table.pop_back();  // complain ends the line
  complain(table);
  nlohmann::ordered_json json = {{"name", experiment.name}, {"image_size", spec.size}};
  describe(model, json);
  json["dense"] = json_of(total.dense);
  json["wired"] = json_of(total.wired);
  json["fast_eval"] = json_of(total.fast_eval);
  json["layers"] = rows;
  print_json(json);
}

}  // namespace

void add_profile(CLI::App& app) {
  auto options = std::make_shared<ProfileOptions>();
  CLI::App* command =
      app.add_subcommand("profile", "Weights and multiply-accumulates of an image, layer by layer");
  options->common.add_to(*command);
  command->add_option("--checkpoint", options->checkpoint, "Weights (default: freshly initialised)")
      ->type_name("FILE");
  command
      ->add_option("--image-size", options->image_size,
                   "Pixels a side (default: the data's; published figures have 224)")
      ->check(CLI::Range(4, 4096))
      ->type_name("N");
  command->callback([options] { profile(*options); });
}

}  // namespace rewire::cli
