// rewire visualize CONFIG [--checkpoint FILE] --to FILE [--show WHAT]: the wiring as a picture.
#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <map>

#include "command.h"
#include "data/file.h"
#include "data/image_file.h"
#include "error.h"
#include "graph/chart.h"
#include "models/view.h"

namespace rewire::cli {
namespace {

namespace fs = std::filesystem;

// Edges that are drawn as lines: more are a blot, and a file of megabytes.
constexpr int64_t kMostLines = 20000;

struct VisualizeOptions {
  Common common;
  std::optional<std::string> checkpoint;
  std::string to;
  std::string show = "wiring";
};

std::vector<int64_t> numbers(const at::Tensor& counts) {
  return {counts.const_data_ptr<int64_t>(), counts.const_data_ptr<int64_t>() + counts.numel()};
}

std::vector<graph::WiringView> views_of(const models::Model& model) {
  std::vector<graph::WiringView> views;
  const int64_t most = kMostLines / int64_t(model.wirings.size());
  for (const models::Wiring& wiring : model.wirings) {
    views.push_back(models::view_of(model, wiring, most));
  }
  return views;
}

std::string png_of(const models::Model& model) {
  std::vector<graph::Picture> pictures;
  for (const models::Wiring& wiring : model.wirings) {
    pictures.push_back(models::matrix_of(model, wiring));
  }
  const graph::Picture all = graph::stack(pictures);
  return data::encode_png(all.width, all.height, all.rgb);
}

std::string degrees_of(const models::Model& model) {
  std::vector<graph::Chart> charts;
  for (const models::Wiring& wiring : model.wirings) {
    const models::Degrees degrees = models::degrees_of(model, wiring);
    charts.push_back(graph::degree_chart(wiring.name + ": received", numbers(degrees.received)));
    charts.push_back(graph::degree_chart(wiring.name + ": sent", numbers(degrees.sent)));
  }
  return graph::draw_charts_svg(charts);
}

// Edges that changed at each epoch, as the run's metrics beside the checkpoint tell.
std::string churn_of(const config::Experiment& experiment, const std::string& checkpoint) {
  const fs::path metrics = fs::absolute(checkpoint).parent_path().parent_path() / "metrics.jsonl";
  std::ifstream file(metrics);
  if (!file)
    throw CheckpointError(metrics.string() + ": no metrics of a run beside the checkpoint");
  graph::Chart chart{experiment.name, {}, "epoch", {}};
  int64_t number = 0, total = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const auto row = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!row.is_object() || !row.contains("split")) {
      throw CheckpointError(fmt::format("{}:{}: not a row of metrics", metrics.string(), number));
    }
    if (row["split"] != "train") continue;
    const auto changed = row.find("edges_changed");
    chart.bars.push_back(
        changed != row.end() && changed->is_number_unsigned() ? changed->get<int64_t>() : 0);
    total += chart.bars.back();
  }
  chart.subtitle = fmt::format("{} edges changed in {} epochs", total, chart.bars.size());
  return graph::draw_charts_svg({&chart, 1});
}

// Written piece by piece: a large network has millions of edges.
std::string json_of(const models::Model& model) {
  std::string text = "{\"layers\": [";
  for (size_t layer = 0; layer < model.wirings.size(); ++layer) {
    const models::Wiring& wiring = model.wirings[layer];
    const models::EdgeList edges = models::list_edges(model, wiring);
    const models::Degrees degrees = models::degrees_of(model, wiring);
    const nlohmann::ordered_json head = {{"name", wiring.name},
                                         {"outputs", edges.num_targets},
                                         {"inputs", edges.num_sources},
                                         {"taps", edges.num_taps},
                                         {"received", numbers(degrees.received)},
                                         {"sent", numbers(degrees.sent)}};
    text += (layer == 0 ? "\n" : ",\n") + head.dump();
    text.back() = ',';  // in the place of the closing brace
    text += " \"edges\": [";
    const auto source = edges.sources.accessor<int64_t, 1>();
    const auto target = edges.targets.accessor<int64_t, 1>();
    const auto tap = edges.taps.accessor<int64_t, 1>();
    const auto weight = edges.weights.accessor<float, 1>();
    for (int64_t i = 0; i < edges.weights.numel(); ++i) {
      fmt::format_to(std::back_inserter(text), "{}[{}, {}, {}", i == 0 ? "" : ", ", source[i],
                     target[i], weight[i]);
      text += edges.num_taps > 1 ? fmt::format(", {}]", tap[i]) : "]";
    }
    text += "]}";
  }
  return text + "\n]}\n";
}

std::string drawn(const VisualizeOptions& options, const std::string& ending,
                  const config::Experiment& experiment) {
  if (options.show == "churn") return churn_of(experiment, *options.checkpoint);
  const models::Model model = load_model(experiment, options.checkpoint).model;
  if (model.wirings.empty()) {
    throw ConfigError(options.common.config + ": model.kind: this network has no wired layer");
  }
  if (options.show == "degrees") return degrees_of(model);
  if (ending == ".png") return png_of(model);
  if (ending == ".json") return json_of(model);
  const std::vector<graph::WiringView> views = views_of(model);
  return ending == ".dot" ? graph::wiring_dot(views) : graph::draw_wiring_svg(views);
}

void visualize(const VisualizeOptions& options) {
  const std::string ending = fs::path(options.to).extension();
  const bool is_chart = options.show != "wiring";
  const std::map<std::string, std::string> known{{".svg", "nodes and links"},
                                                 {".png", "adjacency matrices"},
                                                 {".dot", "Graphviz"},
                                                 {".json", "edges and degrees"}};
  if (!known.contains(ending) || (is_chart && ending != ".svg")) {
    throw ConfigError(fmt::format("--to: expected a name that ends in {}, got '{}'",
                                  is_chart ? ".svg" : ".svg, .png, .dot or .json", options.to));
  }
  if (options.show == "churn" && !options.checkpoint) {
    throw ConfigError("--show churn: needs the --checkpoint of a run");
  }
  const config::Experiment experiment = options.common.experiment();
  data::write_atomically(options.to, drawn(options, ending, experiment));
  say(fmt::format("{}: {}", options.to, is_chart ? options.show : known.at(ending)));
  if (!options.common.json) return;
  print_json({{"name", experiment.name}, {"file", options.to}, {"show", options.show}});
}

}  // namespace

void add_visualize(CLI::App& app) {
  auto options = std::make_shared<VisualizeOptions>();
  CLI::App* command = app.add_subcommand(
      "visualize", "Draw the wiring: .svg, .png (matrices), .dot (Graphviz) or .json");
  options->common.add_to(*command);
  command->add_option("--checkpoint", options->checkpoint, "Weights (default: freshly initialised)")
      ->type_name("FILE");
  command->add_option("--to", options->to, "File to write")->required()->type_name("FILE");
  command
      ->add_option(
          "--show", options->show,
          "The wiring; degrees: how many channels have how many edges; churn: edges changed "
          "at each epoch of the checkpoint's run")
      ->check(CLI::IsMember({"wiring", "degrees", "churn"}))
      ->capture_default_str();
  command->callback([options] { visualize(*options); });
}

}  // namespace rewire::cli
