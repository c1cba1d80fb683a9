// rewire fetch cifar10|mnist [--data DIR]: downloads a data set and checks it.
#include <fmt/format.h>

#include "command.h"
#include "data/download.h"
#include "data/file.h"
#include "error.h"

namespace rewire::cli {
namespace {

namespace fs = std::filesystem;

struct FetchOptions {
  Common common;
  std::string name;
  std::optional<std::string> manifest;
};

bool is_plain(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

// {"folder": "", "unpacked": "", "files": [{"url": , "name": , "bytes": , "checksum": }]}
data::RemoteSet read_manifest(const fs::path& path) {
  constexpr int64_t kMostBytes = 1 << 20;
  const auto json = nlohmann::json::parse(data::read_file(path, kMostBytes), nullptr, false);
  data::RemoteSet set;
  try {
    set.folder = json.at("folder").get<std::string>();
    set.unpacked = json.at("unpacked").get<std::string>();
    for (const auto& file : json.at("files")) {
      set.files.push_back({file.at("url").get<std::string>(), file.at("name").get<std::string>(),
                           file.at("bytes").get<int64_t>(),
                           file.at("checksum").get<std::string>()});
    }
  } catch (const nlohmann::json::exception& error) {
    throw DataError(path.string() + ": " + printable(error.what()));
  }
  const auto may_be_empty = [](const std::string& name) { return name.empty() || is_plain(name); };
  bool valid = may_be_empty(set.folder) && may_be_empty(set.unpacked) && !set.files.empty();
  for (const data::RemoteFile& file : set.files) valid &= is_plain(file.name) && file.bytes > 0;
  if (!valid) throw DataError(path.string() + ": expected names without folders, and files");
  return set;
}

void fetch(const FetchOptions& options) {
  const data::RemoteSet set =
      options.manifest ? read_manifest(*options.manifest) : data::remote_set(options.name);
  const fs::path folder = options.common.data_root() / set.folder;
  fs::create_directories(folder);
  int64_t bytes = 0;
  for (const data::RemoteFile& file : set.files) {
    const fs::path path = folder / file.name;
    data::download(file, path, [](const data::RemoteFile& part, int64_t done) {
      show_progress(fmt::format("{}: {:.1f} of {:.1f} MB", part.name, double(done) / 1e6,
                                double(part.bytes) / 1e6));
    });
    say(fmt::format("{}: {} bytes, checked", path.string(), file.bytes));
    bytes += file.bytes;
    if (!set.unpacked.empty()) data::unpack(path, set.unpacked, folder);
  }
  const fs::path result = set.unpacked.empty() ? folder : folder / set.unpacked;
  if (!set.unpacked.empty()) say(fmt::format("{}: unpacked", result.string()));
  if (!options.common.json) return;
  print_json({{"name", options.name}, {"folder", result.string()}, {"bytes", bytes}});
}

}  // namespace

void add_fetch(CLI::App& app) {
  auto options = std::make_shared<FetchOptions>();
  CLI::App* command = app.add_subcommand("fetch", "Download a data set, and check it");
  command->add_option("NAME", options->name, "cifar10 or mnist")
      ->required()
      ->check(CLI::IsMember({"cifar10", "mnist"}));
  command
      ->add_option("--data", options->common.data,
                   "Folder of data sets (default: $REWIRE_DATA, else data)")
      ->type_name("DIR");
  command
      ->add_option("--manifest", options->manifest,
                   "Of a mirror: JSON with the url, name, bytes and checksum of each file")
      ->type_name("FILE");
  command->add_flag("--json", options->common.json, "Print the result as one JSON object");
  command->callback([options] { fetch(*options); });
}

}  // namespace rewire::cli
