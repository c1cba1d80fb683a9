// rewire predict CONFIG --checkpoint FILE IMAGE...
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "command.h"
#include "error.h"

namespace rewire::cli {
namespace {

struct PredictOptions {
  Common common;
  std::string checkpoint;
  std::vector<std::string> images;
};

// "cat 71.3 %, dog 20.2 %, deer 3.1 %"
std::string most_likely(const at::Tensor& probabilities, const data::ImageSpec& spec) {
  constexpr int64_t kShown = 3;
  const auto [values, classes] =
      probabilities.topk(std::min<int64_t>(kShown, probabilities.size(0)));
  std::vector<std::string> parts;
  for (int64_t i = 0; i < values.size(0); ++i) {
    parts.push_back(fmt::format("{} {:.1f} %", spec.classes[size_t(classes[i].item<int64_t>())],
                                100 * values[i].item<double>()));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

void predict(const PredictOptions& options) {
  const config::Experiment experiment = options.common.experiment();
  if (experiment.data.kind == "table") {
    throw ConfigError(options.common.config + ": data.kind: a table has no images to predict");
  }
  const at::Device device = options.common.run_device();
  data::ImageSpec spec = data::image_spec(experiment.data);
  spec.classes = data::class_names(experiment.data, options.common.data_root());
  models::Model model = load_model(experiment, options.checkpoint).model;
  models::move_to(model, device);
  nlohmann::ordered_json predictions = nlohmann::ordered_json::array();
  for (const std::string& image : options.images) {
    const at::Tensor probabilities = classify(model.module, image, experiment.data, model.device);
    const std::string line = fmt::format("{}: {}", image, most_likely(probabilities, spec));
    options.common.json ? complain(line) : show(line + "\n");
    const auto best = probabilities.argmax().item<int64_t>();
    nlohmann::ordered_json all;
    for (size_t i = 0; i < spec.classes.size(); ++i) {
      all[spec.classes[i]] = probabilities[int64_t(i)].item<double>();
    }
    predictions.push_back({{"image", image},
                           {"class", spec.classes[best]},
                           {"probability", probabilities[best].item<double>()},
                           {"probabilities", all}});
  }
  if (options.common.json) {
    print_json({{"checkpoint", options.checkpoint}, {"predictions", predictions}});
  }
}

}  // namespace

void add_predict(CLI::App& app) {
  auto options = std::make_shared<PredictOptions>();
  CLI::App* command =
      app.add_subcommand("predict", "Classes and probabilities of images (PNG or JPEG)");
  options->common.add_to(*command);
  command->add_option("--checkpoint", options->checkpoint, "Checkpoint to use")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("IMAGE", options->images,
                   "Images; resized, and cropped to their middle, as test images are")
      ->required();
  command->callback([options] { predict(*options); });
}

}  // namespace rewire::cli
