// rewire quickstart LEARNED RANDOM: trains both experiments, shows what learned wiring gained,
// draws both wirings, exports the learned model and classifies an image with the exported file
// alone.
#include <fmt/format.h>
#include <torch/torch.h>

#include <sstream>

#include "command.h"
#include "data/file.h"
#include "data/loader.h"
#include "models/view.h"

namespace rewire::cli {
namespace {

namespace fs = std::filesystem;

struct QuickstartOptions {
  Common common;
  std::string learned;
  std::string random;
  std::string output = "runs/quickstart";
};

struct Trained {
  config::Experiment experiment;
  train::RunResult result;
  models::Model model;
};

Trained train_one(const QuickstartOptions& options, const std::string& config) {
  Common common = options.common;
  common.config = config;
  const config::Experiment experiment = common.experiment();
  const train::RunOptions run{.output = fs::path(options.output) / experiment.name,
                              .data_root = common.data_root(),
                              .resume = "never",
                              .device = common.run_device(),
                              .stop = &stop_signal(),
                              .watcher = watcher()};
  const train::RunResult result = train::run(experiment, run);
  if (result.stopped_by) throw ExitStatus{128 + result.stopped_by};
  return {experiment, result, load_model(experiment, result.checkpoint.string()).model};
}

void print_row(const Trained& trained) {
  const train::RunResult& result = trained.result;
  show(fmt::format("  {:<16} {:>8.1f} % {:>8} {:>8} {:>8} {:>8.1f} s\n", trained.experiment.name,
                   result.top1, result.edges.kept, result.edges.in_use, result.edges_moved,
                   result.seconds));
}

graph::WiringView view_of(const Trained& trained) {
  graph::WiringView view =
      models::view_of(trained.model, trained.model.wirings.at(0), trained.result.edges.kept);
  view.title = trained.experiment.name;
  view.subtitle = fmt::format("{:.1f} % of test images right, {} edges in use", trained.result.top1,
                              trained.result.edges.in_use);
  return view;
}

// The image in characters, darker where the ink is.
void print_image(const at::Tensor& pixels) {
  constexpr std::string_view kShades = " .:-=+*#%@";
  const at::Tensor scaled = (pixels - pixels.min()) / (pixels.max() - pixels.min());
  for (int64_t y = 0; y < scaled.size(0); ++y) {
    std::string line = "    ";
    for (int64_t x = 0; x < scaled.size(1); ++x) {
      const char shade = kShades[size_t(scaled[y][x].item<float>() * float(kShades.size() - 1))];
      line += {shade, shade};
    }
    show(line + "\n");
  }
}

// Loads the exported file as any program would and classifies the first test image with it.
void classify_one(const fs::path& file, const Trained& trained, const Common& common) {
  const torch::InferenceMode guard;
  torch::jit::Module module = torch::jit::load(file.string());
  const data::Dataset test =
      data::open(trained.experiment.data, common.data_root(), data::Split::test);
  data::LoaderOptions options;
  options.normalize = trained.experiment.data.normalize;
  options.workers = 0;
  const data::Batch batch = *data::Loader(test, options).next();
  const at::Tensor probabilities = module.forward({batch.images}).toTensor().softmax(1)[0];
  const auto best = probabilities.argmax().item<int64_t>();
  show(fmt::format("\nThe exported model, {}, looks at the first test image:\n\n", file.string()));
  print_image(batch.images[0][0]);
  show(fmt::format("\n  and says {} ({:.1f} %); the label is {}.\n", test.spec.classes[best],
                   100 * probabilities[best].item<double>(), test.spec.classes[test.labels[0]]));
}

void quickstart(const QuickstartOptions& options) {
  defer_signals();
  const Trained learned = train_one(options, options.learned);
  const Trained random = train_one(options, options.random);

  show(fmt::format("\n  {:<16} {:>10} {:>8} {:>8} {:>8} {:>10}\n", "wiring", "test top1", "edges",
                   "in use", "moved", "trained"));
  print_row(learned);
  print_row(random);
  show(
      "\n  edges: kept by the wiring's rule; in use: those of them that the network reads;\n"
      "  moved: kept now and not when training began.\n");

  const fs::path picture = fs::path(options.output) / "wiring.svg";
  const graph::WiringView views[] = {view_of(learned), view_of(random)};
  data::write_atomically(picture, graph::draw_wiring_svg(views));
  show(fmt::format("\nBoth wirings, drawn: {}\n", picture.string()));

  const fs::path file = fs::path(options.output) / (learned.experiment.name + ".pt");
  std::ostringstream bytes;
  learned.model.module.save(bytes);
  data::write_atomically(file, bytes.str());
  classify_one(file, learned, options.common);
  if (!options.common.json) return;
  print_json({{"learned", result_json(learned.experiment, learned.result)},
              {"random", result_json(random.experiment, random.result)},
              {"picture", picture.string()},
              {"model", file.string()}});
}

}  // namespace

void add_quickstart(CLI::App& app) {
  auto options = std::make_shared<QuickstartOptions>();
  CLI::App* command = app.add_subcommand(
      "quickstart", "Train learned and random wiring, compare, draw, export and classify");
  command->add_option("LEARNED", options->learned, "Experiment file with learned wiring")
      ->required();
  command->add_option("RANDOM", options->random, "Experiment file with random wiring")->required();
  command->add_option("--output", options->output, "Folder for all that is made")
      ->capture_default_str()
      ->type_name("DIR");
  options->common.add_to(*command, /*takes_config=*/false);
  command->callback([options] { quickstart(*options); });
}

}  // namespace rewire::cli
