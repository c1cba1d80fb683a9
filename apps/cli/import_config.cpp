// rewire import-config IN.yml --to OUT.yaml: a published experiment file in our words.
#include <fmt/format.h>

#include "command.h"
#include "config/published.h"
#include "data/file.h"

namespace rewire::cli {
namespace {

struct ImportConfigOptions {
  std::string from;
  std::string to;
  bool json = false;
};

void import_config(const ImportConfigOptions& options) {
  const config::Converted converted = config::from_published(options.from);
  data::write_atomically(options.to, config::to_yaml(converted.experiment));
  for (const std::string& note : converted.notes) say("note: " + note);
  say(fmt::format("{}: {} as '{}'", options.to, options.from, converted.experiment.name));
  if (!options.json) return;
  print_json({{"name", converted.experiment.name},
              {"file", options.from},
              {"config", options.to},
              {"notes", converted.notes}});
}

}  // namespace

void add_import_config(CLI::App& app) {
  auto options = std::make_shared<ImportConfigOptions>();
  CLI::App* command =
      app.add_subcommand("import-config", "An experiment file of the published code in our words");
  command->add_option("IN", options->from, "Published file (.yml)")->required();
  command->add_option("--to", options->to, "File to write")->required()->type_name("FILE");
  command->add_flag("--json", options->json, "Print the results as one JSON object");
  command->callback([options] { import_config(*options); });
}

}  // namespace rewire::cli
