#include "config/node.h"

#include <fmt/format.h>

#include <algorithm>

namespace rewire::config {

const Entry* Node::find(const std::string& key) const {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const Entry& entry) { return entry.key == key; });
  return found == entries.end() ? nullptr : &*found;
}

Entry* Node::find(const std::string& key) {
  return const_cast<Entry*>(static_cast<const Node*>(this)->find(key));
}

ConfigError complaint(const Position& position, const std::string& path,
                      const std::string& message) {
  const std::string place =
      position.line > 0 ? fmt::format("{}:{}:{}", position.origin, position.line, position.column)
                        : position.origin;
  return ConfigError(path.empty() ? fmt::format("{}: {}", place, message)
                                  : fmt::format("{}: {}: {}", place, path, message));
}

namespace {

std::string kind_of(const Node& map) {
  const Entry* kind = map.find("kind");
  return kind ? kind->value.text : "";
}

}  // namespace

Node merge(Node under, const Node& over) {
  if (under.kind != Node::Kind::kMap || over.kind != Node::Kind::kMap) return over;
  if (over.find("kind") && under.find("kind") && kind_of(over) != kind_of(under)) {
    for (Entry& entry : under.entries) entry.inherited = true;
  }
  for (const Entry& entry : over.entries) {
    if (Entry* known = under.find(entry.key)) {
      *known = {entry.key, entry.position, merge(std::move(known->value), entry.value), false};
    } else {
      under.entries.push_back(entry);
    }
  }
  if (over.position.line > 0) under.position = over.position;  // --set is no place to look at
  return under;
}

Node parse_override(const std::string& assignment) {
  const Position position{"--set", 0, 0};
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw complaint(position, "", fmt::format("expected KEY=VALUE, got '{}'", assignment));
  }
  std::string path = assignment.substr(0, equals);
  Node node;
  try {
    node = parse_yaml(assignment.substr(equals + 1), "--set");
  } catch (const ConfigError& error) {
    throw ConfigError(fmt::format("--set: {}: {}", path, std::string(error.what()).substr(7)));
  }
  while (true) {
    const size_t dot = path.rfind('.');
    Node map;
    map.kind = Node::Kind::kMap;
    map.position = position;
    const std::string key = dot == std::string::npos ? path : path.substr(dot + 1);
    if (key.empty()) throw complaint(position, "", fmt::format("empty key in '{}'", assignment));
    map.entries.push_back({key, position, std::move(node), false});
    if (dot == std::string::npos) return map;
    node = std::move(map);
    path.resize(dot);
  }
}

}  // namespace rewire::config
