#include <yaml-cpp/emitter.h>

#include "config/reader.h"

#include <fmt/format.h>

namespace rewire::config {
namespace {

// The shortest text that reads back as the same number; a stream would follow the locale.
template <class Number>
std::string exact(Number value) {
  return fmt::format("{}", value);
}

}  // namespace

void Writer::begin_map(const std::string& key) {
  if (!key.empty()) out_ << YAML::Key << key << YAML::Value;
  out_ << YAML::BeginMap;
}

void Writer::end_map() { out_ << YAML::EndMap; }

void Writer::begin_list(const std::string& key) {
  out_ << YAML::Key << key << YAML::Value << YAML::BeginSeq;
}

void Writer::end_list() { out_ << YAML::EndSeq; }

void Writer::put(const std::string& key, const std::string& value) {
  out_ << YAML::Key << key << YAML::Value << value;
}

void Writer::put(const std::string& key, bool value) {
  out_ << YAML::Key << key << YAML::Value << value;
}

void Writer::put(const std::string& key, int64_t value) { put(key, exact(value)); }

void Writer::put(const std::string& key, double value) { put(key, exact(value)); }

void Writer::put(const std::string& key, const std::vector<int64_t>& values) {
  out_ << YAML::Key << key << YAML::Value << YAML::Flow << YAML::BeginSeq;
  for (const int64_t value : values) out_ << exact(value);
  out_ << YAML::EndSeq;
}

void Writer::put(const std::string& key, const std::vector<std::string>& values) {
  out_ << YAML::Key << key << YAML::Value << YAML::Flow << YAML::BeginSeq;
  for (const std::string& value : values) out_ << value;
  out_ << YAML::EndSeq;
}

void Writer::put(const std::string& key, const std::vector<double>& values) {
  out_ << YAML::Key << key << YAML::Value << YAML::Flow << YAML::BeginSeq;
  for (const double value : values) out_ << exact(value);
  out_ << YAML::EndSeq;
}

void Writer::put(const std::string& key, const std::vector<std::vector<double>>& rows) {
  begin_list(key);
  for (const std::vector<double>& row : rows) {
    out_ << YAML::Flow << YAML::BeginSeq;
    for (const double value : row) out_ << exact(value);
    out_ << YAML::EndSeq;
  }
  end_list();
}

}  // namespace rewire::config
