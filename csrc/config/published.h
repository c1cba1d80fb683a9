// Experiment files of the published code of "Discovering Neural Wirings", in our words.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/experiment.h"

namespace rewire::config {

struct Converted {
  Experiment experiment;
  std::vector<std::string> notes;  // what a person should know: keys that say nothing here
};

// Reads a published .yml file, `!include FILE` and merge keys too; FILE is relative to the file
// that includes it. Keys that the published code reads keep their meaning; others are named in the
// notes. Throws ConfigError with the position: a YAML error, a missing key, a word or a number that
// has no counterpart here.
Converted from_published(const std::filesystem::path& file);

}  // namespace rewire::config
