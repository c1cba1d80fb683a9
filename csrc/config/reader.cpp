#include "config/reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace rewire::config {
namespace {

// The whole text as a number, or nothing. from_chars knows no locale.
template <class T>
std::optional<T> number(const std::string& text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::string described(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "nothing";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMap:
      return "a map";
    case Node::Kind::kScalar:
      break;
  }
  return node.quoted ? "the string '" + node.text + "'" : "'" + node.text + "'";
}

// Number of single-character edits from a to b.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

// " (did you mean 'x'?)" for the nearest of `words`, where one is near enough to be a slip.
std::string suggestion(const std::string& wrong, const std::vector<std::string>& words) {
  const std::string* best = nullptr;
  size_t nearest = std::max<size_t>(2, wrong.size() / 3) + 1;
  for (const std::string& word : words) {
    const size_t distance = edit_distance(wrong, word);
    if (distance < nearest) {
      nearest = distance;
      best = &word;
    }
  }
  return best ? " (did you mean '" + *best + "'?)" : "";
}

std::string described(Range range) {
  if (range.highest >= 1e300) return fmt::format("at least {}", range.lowest);
  return fmt::format("in [{}, {}]", range.lowest, range.highest);
}

template <class T>
T number_in(const Entry& entry, const std::string& path, Range range, const char* wanted) {
  const Node& node = entry.value;
  const auto value =
      node.kind == Node::Kind::kScalar && !node.quoted ? number<T>(node.text) : std::optional<T>();
  if (!value || !std::isfinite(double(*value))) {
    throw complaint(node.position, path,
                    fmt::format("expected {}, got {}", wanted, described(node)));
  }
  if (double(*value) < range.lowest || double(*value) > range.highest) {
    throw complaint(node.position, path,
                    fmt::format("expected a number {}, got {}", described(range), node.text));
  }
  return *value;
}

}  // namespace

Reader::Reader(const Node& map, std::string path) : map_(map), path_(std::move(path)) {
  if (map_.kind != Node::Kind::kMap) {
    throw complaint(map_.position, path_, "expected a map of keys, got " + described(map_));
  }
}

const Entry* Reader::take(const std::string& key) {
  known_.push_back(key);
  return map_.find(key);
}

const std::vector<Node>& Reader::list_of(const Entry& entry) const {
  if (entry.value.kind != Node::Kind::kList) {
    throw complaint(entry.value.position, child(entry.key),
                    "expected a list, got " + described(entry.value));
  }
  return entry.value.items;
}

void Reader::choice(const std::string& key, std::string& value,
                    const std::vector<std::string>& words, const std::string& or_else) {
  value.empty() ? required(key, value) : field(key, value);
  if (!map_.find(key) && value.empty()) refuse_missing(key);  // what follows depends on it
  if (std::find(words.begin(), words.end(), value) != words.end()) return;
  const Entry* entry = map_.find(key);
  const std::string hint = suggestion(value, words);
  throw complaint(entry->value.position, child(key),
                  hint.empty() ? fmt::format("expected one of {}{}, got '{}'",
                                             fmt::join(words, ", "), or_else, value)
                               : fmt::format("unknown value '{}'{}", value, hint));
}

void Reader::check(bool holds, const std::string& key, const std::string& message) const {
  if (holds || !missing_.empty()) return;
  const Entry* entry = map_.find(key);
  throw complaint(entry ? entry->value.position : map_.position, child(key), message);
}

void Reader::refuse_missing(const std::string& key) const {
  for (const Entry& entry : map_.entries) {
    const std::string hint = suggestion(entry.key, {key});
    if (!hint.empty()) throw complaint(entry.position, child(entry.key), "unknown key" + hint);
  }
  throw complaint(map_.position, path_, "missing key '" + key + "'");
}

void Reader::finish() const {
  for (const Entry& entry : map_.entries) {
    if (entry.inherited || std::find(known_.begin(), known_.end(), entry.key) != known_.end())
      continue;
    throw complaint(entry.position, child(entry.key),
                    "unknown key" + suggestion(entry.key, known_));
  }
  if (!missing_.empty()) {
    throw complaint(map_.position, path_, "missing key '" + missing_.front() + "'");
  }
}

void Reader::read(const Entry& entry, std::string& value, Range) const {
  if (entry.value.kind != Node::Kind::kScalar) {
    throw complaint(entry.value.position, child(entry.key),
                    "expected a string, got " + described(entry.value));
  }
  value = entry.value.text;
}

void Reader::read(const Entry& entry, bool& value, Range) const {
  const Node& node = entry.value;
  if (node.kind != Node::Kind::kScalar || node.quoted ||
      (node.text != "true" && node.text != "false")) {
    throw complaint(node.position, child(entry.key),
                    "expected true or false, got " + described(node));
  }
  value = node.text == "true";
}

void Reader::read(const Entry& entry, int64_t& value, Range range) const {
  value = number_in<int64_t>(entry, child(entry.key), range, "an integer");
}

void Reader::read(const Entry& entry, double& value, Range range) const {
  value = number_in<double>(entry, child(entry.key), range, "a number");
}

}  // namespace rewire::config
