#include "config/experiment.h"

#include <yaml-cpp/emitter.h>

#include "config/fields.h"

namespace rewire::config {
namespace {

constexpr int kMaxBases = 8;

// The document with its `base` files under it.
Node with_bases(Node document, const std::filesystem::path& file, int depth = 0) {
  const Entry* base = document.find("base");
  if (!base) return document;
  if (depth == kMaxBases) {
    throw complaint(base->position, "base", "more than 8 files deep; is there a circle?");
  }
  if (base->value.kind != Node::Kind::kScalar || base->value.text.empty()) {
    throw complaint(base->value.position, "base", "expected the path of a file");
  }
  const auto path = file.parent_path() / base->value.text;
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    throw complaint(base->value.position, "base", path.string() + ": no such file");
  }
  Node under = parse_yaml_file(path);
  if (under.kind != Node::Kind::kMap) throw complaint(under.position, "", "expected a map of keys");
  std::erase_if(document.entries, [](const Entry& entry) { return entry.key == "base"; });
  return merge(with_bases(std::move(under), path, depth + 1), document);
}

Experiment read(Node document, const std::filesystem::path& file,
                const std::vector<std::string>& overrides) {
  if (document.kind != Node::Kind::kMap)
    throw complaint(document.position, "", "expected a map of keys");
  document = with_bases(std::move(document), file);
  for (const std::string& override : overrides) {
    document = merge(std::move(document), parse_override(override));
  }
  Experiment experiment;
  Reader reader(document, "");
  fields(reader, experiment);
  reader.finish();
  return experiment;
}

}  // namespace

Experiment load(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  return read(parse_yaml_file(file), file, overrides);
}

Experiment parse(const std::string& text, const std::string& origin,
                 const std::vector<std::string>& overrides) {
  return read(parse_yaml(text, origin), origin, overrides);
}

std::string to_yaml(const Experiment& experiment) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  Writer writer(out);
  Experiment copy = experiment;  // a visitor takes its section by reference; Writer changes nothing
  fields(writer, copy);
  out << YAML::EndMap;
  return std::string(out.c_str()) + "\n";
}

}  // namespace rewire::config
