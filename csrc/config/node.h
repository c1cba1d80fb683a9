// A YAML document as a tree in which everything remembers where it was written.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "error.h"

namespace rewire::config {

struct Position {
  std::string origin;  // a file, or "--set"
  int line = 0;        // from 1; 0: the origin has no lines
  int column = 0;
};

struct Entry;

struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  Position position;
  std::string text;     // scalar
  bool quoted = false;  // scalar: written in quotes, so never a number or a boolean
  std::vector<Node> items;
  std::vector<Entry> entries;

  const Entry* find(const std::string& key) const;
  Entry* find(const std::string& key);
};

struct Entry {
  std::string key;
  Position position;
  Node value;
  bool inherited = false;  // comes from a layer that named another `kind` for this map
};

// "file:line:column: path: message", the parts that there are.
ConfigError complaint(const Position& position, const std::string& path,
                      const std::string& message);

// One document without tags, merge keys, duplicate keys or a second document; at most 1 MiB, 64
// levels, 4,000 nodes after aliases are resolved. Throws ConfigError.
Node parse_yaml(const std::string& text, const std::string& origin);
Node parse_yaml_file(const std::filesystem::path& file);
// The same with what the published experiment files may have: `!include FILE`, which stands for the
// content of a file beside, as YAML where it ends in .yml or .yaml and else as text, 16 times at
// most; and merge keys, `<<`, whose map gives the keys that are not there.
Node parse_published_yaml(const std::filesystem::path& file);

// Lays `over` on `under`: maps key by key, everything else replaced.
Node merge(Node under, const Node& over);

// The nodes of "a.b=value", to be merged: {a: {b: value}}.
Node parse_override(const std::string& assignment);

}  // namespace rewire::config
