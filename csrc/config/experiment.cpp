#include "config/experiment.h"

#include <yaml-cpp/emitter.h>

#include <map>
#include <set>

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
    throw complaint(
        base->value.position, "base",
        path.string() + (std::filesystem::exists(path, error) ? ": not a file" : ": no such file"));
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

// The scalars under `node`, by the path of their keys.
void collect(const Node& node, const std::string& path, std::map<std::string, std::string>& found) {
  if (node.kind == Node::Kind::kScalar) found[path] = node.text;
  for (size_t i = 0; i < node.items.size(); ++i) {
    collect(node.items[i], path + "[" + std::to_string(i) + "]", found);
  }
  for (const Entry& entry : node.entries) {
    collect(entry.value, path.empty() ? entry.key : path + "." + entry.key, found);
  }
}

std::map<std::string, std::string> scalars_of(const Experiment& experiment) {
  std::map<std::string, std::string> found;
  collect(parse_yaml(to_yaml(experiment), experiment.name), "", found);
  return found;
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

std::vector<std::string> differing_keys(const Experiment& a, const Experiment& b) {
  const auto of_a = scalars_of(a), of_b = scalars_of(b);
  std::set<std::string> keys;
  for (const auto* scalars : {&of_a, &of_b}) {
    for (const auto& [key, value] : *scalars) keys.insert(key);
  }
  std::vector<std::string> differing;
  for (const std::string& key : keys) {
    const auto in_a = of_a.find(key), in_b = of_b.find(key);
    const bool equal = in_a != of_a.end() && in_b != of_b.end() && in_a->second == in_b->second;
    if (!equal) differing.push_back(key);
  }
  return differing;
}

}  // namespace rewire::config
