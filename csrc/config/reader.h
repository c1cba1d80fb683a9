// Visitors that walk the description of a section (fields.h): Reader fills it from a Node and
// refuses whatever is not as described; Writer emits it as YAML.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/node.h"

namespace YAML {
class Emitter;
}

namespace rewire::config {

// Bounds of a number, both inclusive.
struct Range {
  double lowest = -1e300;
  double highest = 1e300;
};
constexpr Range kPositive{1, 1e300};  // of a count
constexpr Range kNotNegative{0, 1e300};
constexpr Range kFraction{0, 1};

class Reader {
 public:
  // `path` names the map in complaints: "training.optimizer", or "" for the whole document.
  Reader(const Node& map, std::string path);

  // A key that must be there. That it is not is said by finish(), after the keys that nobody knows:
  // most often it was misspelt.
  template <class T>
  void required(const std::string& key, T& value, Range range = {}) {
    if (const Entry* entry = take(key)) return read(*entry, value, range);
    missing_.push_back(key);
  }
  // A key that may be left out: `value` then stays as it is.
  template <class T>
  void field(const std::string& key, T& value, Range range = {}) {
    if (const Entry* entry = take(key)) read(*entry, value, range);
  }
  // A word out of `words`; left out, `value` stays, unless it is empty: then the key is required.
  void choice(const std::string& key, std::string& value, const std::vector<std::string>& words,
              const std::string& or_else = "");
  // Such a word, or a map in its place, which looks like `example`.
  template <class T>
  void choice(const std::string& key, std::string& value, const std::vector<std::string>& words,
              std::optional<T>& map, const std::string& example) {
    const Entry* entry = map_.find(key);
    if (entry && entry->value.kind == Node::Kind::kMap) return section(key, map);
    choice(key, value, words, " or " + example);
  }
  // A map, described by fields(visitor, value).
  template <class T>
  void section(const std::string& key, T& value, bool needed = true) {
    const Entry* entry = take(key);
    if (entry) read_map(*entry, value);
    if (!entry && needed) missing_.push_back(key);
  }
  template <class T>
  void section(const std::string& key, std::optional<T>& value) {
    if (take(key)) section(key, value.emplace());
  }
  // A list of maps.
  template <class T>
  void sections(const std::string& key, std::vector<T>& values) {
    const Entry* entry = take(key);
    if (!entry) return;
    values.clear();
    for (const Node& item : list_of(*entry)) {
      Reader reader(item, child(key) + "[" + std::to_string(values.size()) + "]");
      fields(reader, values.emplace_back());
      reader.finish();
    }
  }
  // A condition between keys; complains at `key`, or at the map where it was left out. Not asked
  // where a required key is missing.
  void check(bool holds, const std::string& key, const std::string& message) const;

  // Refuses keys that nobody asked for, then complains of those that are missing.
  void finish() const;

 private:
  const Entry* take(const std::string& key);
  [[noreturn]] void refuse_missing(const std::string& key) const;
  std::string child(const std::string& key) const {
    return path_.empty() ? key : path_ + "." + key;
  }
  const std::vector<Node>& list_of(const Entry& entry) const;

  void read(const Entry& entry, std::string& value, Range range) const;
  void read(const Entry& entry, bool& value, Range range) const;
  void read(const Entry& entry, int64_t& value, Range range) const;
  void read(const Entry& entry, double& value, Range range) const;
  template <class T>
  void read(const Entry& entry, std::optional<T>& value, Range range) const {
    read(entry, value.emplace(), range);
  }
  template <class T>
  void read(const Entry& entry, std::vector<T>& values, Range range) const {
    values.clear();
    for (const Node& item : list_of(entry)) {
      const std::string key = entry.key + "[" + std::to_string(values.size()) + "]";
      read({key, item.position, item, false}, values.emplace_back(), range);
    }
  }
  template <class T>
  void read_map(const Entry& entry, T& value) const {
    Reader reader(entry.value, child(entry.key));
    fields(reader, value);
    reader.finish();
  }

  const Node& map_;
  std::string path_;
  std::vector<std::string> known_;
  std::vector<std::string> missing_;
};

class Writer {
 public:
  explicit Writer(YAML::Emitter& out) : out_(out) {}

  template <class T>
  void required(const std::string& key, const T& value, Range = {}) {
    put(key, value);
  }
  template <class T>
  void field(const std::string& key, const T& value, Range = {}) {
    put(key, value);
  }
  void choice(const std::string& key, const std::string& value, const std::vector<std::string>&) {
    put(key, value);
  }
  template <class T>
  void choice(const std::string& key, const std::string& value,
              const std::vector<std::string>& words, std::optional<T>& map, const std::string&) {
    if (map) return section(key, map);
    choice(key, value, words);
  }
  template <class T>
  void section(const std::string& key, T& value, bool = true) {
    begin_map(key);
    fields(*this, value);
    end_map();
  }
  template <class T>
  void section(const std::string& key, std::optional<T>& value) {
    if (value) section(key, *value);
  }
  template <class T>
  void sections(const std::string& key, std::vector<T>& values) {
    begin_list(key);
    for (T& value : values) {
      begin_map("");
      fields(*this, value);
      end_map();
    }
    end_list();
  }
  void check(bool, const std::string&, const std::string&) const {}

 private:
  void begin_map(const std::string& key);
  void end_map();
  void begin_list(const std::string& key);
  void end_list();
  void put(const std::string& key, const std::string& value);
  void put(const std::string& key, bool value);
  void put(const std::string& key, int64_t value);
  void put(const std::string& key, double value);
  void put(const std::string& key, const std::vector<int64_t>& values);
  void put(const std::string& key, const std::vector<double>& values);
  void put(const std::string& key, const std::vector<std::string>& values);
  void put(const std::string& key, const std::vector<std::vector<double>>& rows);
  template <class T>
  void put(const std::string& key, const std::optional<T>& value) {
    if (value) put(key, *value);
  }

  YAML::Emitter& out_;
};

}  // namespace rewire::config
