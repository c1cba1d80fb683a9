// rewire predict CONFIG --checkpoint FILE IMAGE...
#include <fmt/format.h>

#include "command.h"

namespace rewire::cli {
namespace {

struct Options {
  Common common;
  std::string checkpoint;
  std::vector<std::string> images;
};

void predict(const Options& options) {
  const config::Experiment experiment = options.common.experiment();
  const data::ImageSpec spec = data::image_spec(experiment.data.kind);
  models::Model model = load_model(experiment, options.checkpoint).model;
  nlohmann::ordered_json predictions = nlohmann::ordered_json::array();
  for (const std::string& image : options.images) {
    const at::Tensor probabilities = classify(model.module, image, experiment.data);
    const auto best = probabilities.argmax().item<int64_t>();
    const double probability = probabilities[best].item<double>();
    const auto tell = options.common.json ? complain : show;
    tell(fmt::format("{}: {} ({:.1f} %)", image, spec.classes[best], 100 * probability));
    nlohmann::ordered_json all;
    for (size_t i = 0; i < spec.classes.size(); ++i) {
      all[spec.classes[i]] = probabilities[int64_t(i)].item<double>();
    }
    predictions.push_back({{"image", image},
                           {"class", spec.classes[best]},
                           {"probability", probability},
                           {"probabilities", all}});
  }
  if (options.common.json) {
    print_json({{"checkpoint", options.checkpoint}, {"predictions", predictions}});
  }
}

}  // namespace

void add_predict(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("predict", "Classes and probabilities of images (PNG or JPEG)");
  options->common.add_to(*command);
  command->add_option("--checkpoint", options->checkpoint, "Checkpoint to use")->required()->type_name("FILE");
  command->add_option("IMAGE", options->images, "Images; resized to the data set's size")->required();
  command->callback([options] { predict(*options); });
}

}  // namespace rewire::cli
