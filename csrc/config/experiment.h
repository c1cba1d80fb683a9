// An experiment as a YAML file describes it: read strictly, checked, with the place of every
// complaint. This is the only room that has heard of YAML.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/training.h"
#include "data/description.h"
#include "models/description.h"

namespace rewire::config {

// A published result, shown beside the one obtained.
struct Expectation {
  double top1 = 0;    // per cent
  double within = 0;  // per cent points
  std::string source;
};

// Checkpoints that a training begins with, in the place of fresh weights.
struct Start {
  std::string weights;
  std::string edges;  // fine_tune: whose weights choose the edges; empty: `weights`
};

struct Experiment {
  std::string name;
  int64_t seed = 0;
  std::string execution = "auto";  // of the wired layers: auto, sparse, dense
  data::Description data;
  models::Description model;
  std::optional<Start> start;
  TrainingDescription training;
  std::optional<Expectation> expect;
};

// Reads an experiment file, its bases and then `overrides` ("training.epochs=3"), in this order;
// what comes later wins, maps are merged key by key and lists replaced.
// Where a layer names another `kind` for a section, keys inherited for the old kind that the new
// one lacks are dropped. Throws ConfigError with "file:line:column: key.path: what is wrong" (an
// override's place is
// "--set"): unreadable or oversized file, YAML error, unknown, missing or duplicate key, wrong
// type, value out of range.
Experiment load(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});

// The same for a text, whose place is called `origin`; a base is looked for beside `origin`.
Experiment parse(const std::string& text, const std::string& origin,
                 const std::vector<std::string>& overrides = {});

// The experiment as YAML with every key written out; parse(to_yaml(e)) gives e again.
std::string to_yaml(const Experiment& experiment);

// The keys in which two experiments differ, as "training.optimizer.lr", in alphabetical order.
std::vector<std::string> differing_keys(const Experiment& a, const Experiment& b);

}  // namespace rewire::config
