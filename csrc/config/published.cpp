#include "config/published.h"

#include <charconv>
#include <cmath>
#include <set>

#include "config/node.h"

namespace rewire::config {
namespace {

// A published file's keys, each to be taken once.
class Keys {
 public:
  explicit Keys(const Node& root) : root_(root) {
    if (root.kind != Node::Kind::kMap)
      throw complaint(root.position, "", "expected keys and values");
  }

  bool has(const std::string& key) const { return root_.find(key) != nullptr; }

  const Node& get(const std::string& key) {
    const Entry* entry = root_.find(key);
    if (!entry) throw complaint(root_.position, key, "missing key");
    taken_.insert(key);
    return entry->value;
  }

  [[noreturn]] void fail(const std::string& key, const std::string& message) {
    throw complaint(get(key).position, key, message);
  }

  std::string text(const std::string& key) {
    const Node& node = get(key);
    if (node.kind != Node::Kind::kScalar) fail(key, "expected a word");
    return node.text;
  }
  std::string text_or(const std::string& key, const std::string& absent) {
    return has(key) ? text(key) : absent;
  }
  double number(const std::string& key) { return number_of(key, get(key)); }
  double number_or(const std::string& key, double absent) {
    return has(key) ? number(key) : absent;
  }
  int64_t integer(const std::string& key) { return integer_of(key, get(key)); }
  int64_t integer_or(const std::string& key, int64_t absent) {
    return has(key) ? integer(key) : absent;
  }
  std::vector<int64_t> integers(const std::string& key) {
    const Node& node = get(key);
    if (node.kind != Node::Kind::kList) fail(key, "expected a list of numbers");
    std::vector<int64_t> values;
    for (const Node& item : node.items) values.push_back(integer_of(key, item));
    return values;
  }
  // As PyYAML reads them.
  bool truth_or(const std::string& key, bool absent) {
    if (!has(key)) return absent;
    const std::string word = text(key);
    for (const char* yes : {"True", "true", "TRUE", "yes", "on"}) {
      if (word == yes) return true;
    }
    for (const char* no : {"False", "false", "FALSE", "no", "off"}) {
      if (word == no) return false;
    }
    fail(key, "expected True or False");
  }

  // Keys that say nothing here, in the file's order.
  std::vector<std::string> left() const {
    std::vector<std::string> keys;
    for (const Entry& entry : root_.entries) {
      if (!taken_.contains(entry.key)) keys.push_back(entry.key);
    }
    return keys;
  }

 private:
  double number_of(const std::string& key, const Node& node) {
    double value = 0;
    const char* end = node.text.data() + node.text.size();
    const auto result = std::from_chars(node.text.data(), end, value);
    if (node.kind != Node::Kind::kScalar || result.ec != std::errc() || result.ptr != end) {
      fail(key, "expected a number");
    }
    return value;
  }
  int64_t integer_of(const std::string& key, const Node& node) {
    const double value = number_of(key, node);
    constexpr double kExact = 9007199254740992;  // 2^53
    if (!(std::abs(value) <= kExact) || value != std::floor(value))
      fail(key, "expected a whole number");
    return int64_t(value);
  }

  const Node& root_;
  std::set<std::string> taken_;
};

// "models.graphs.neuralgraph:StaticNeuralGraph" names a class of a module.
std::string class_of(Keys& keys, const std::string& key) {
  const std::string word = keys.text(key);
  return word.substr(word.find(':') + 1);
}

data::Description cifar10() {
  data::Description data{.kind = "cifar10"};
  data.root = "cifar-10-batches-bin";
  data.augment = {{.kind = "random_crop", .padding = 4}, {.kind = "horizontal_flip"}};
  data.normalize = {.mean = {0.491, 0.482, 0.447}, .std = {0.247, 0.243, 0.262}};
  return data;
}

// The published code cuts 224 pixels out of 256, whatever the file says.
data::Description imagenet() {
  data::Description data{.kind = "imagefolder"};
  data.root = "imagenet";
  data.classes = 1000;
  data.augment = {{.kind = "random_resized_crop"}, {.kind = "horizontal_flip"}};
  data.normalize = {.mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}};
  return data;
}

data::Description data_of(Keys& keys) {
  const std::string name = class_of(keys, "data");
  if (name != "CIFAR10" && name != "ImageNet") {
    keys.fail("data", "expected data.cifar10:CIFAR10 or data.imagenet:ImageNet");
  }
  data::Description data = name == "ImageNet" ? imagenet() : cifar10();
  data.workers = keys.integer_or("workers", data.workers);
  const data::ImageSpec spec = data::image_spec(data);
  const auto expect = [&](const std::string& key, int64_t value) {
    if (keys.integer_or(key, value) != value) {
      keys.fail(key, "expected " + std::to_string(value) + ", as these data have it");
    }
  };
  expect("image_size", spec.size);
  expect("val_resize", spec.resize ? spec.resize : spec.size);
  expect("in_channels", spec.channels);
  expect("output_size", int64_t(spec.classes.size()));
  return data;
}

models::WiringDescription wiring_of(Keys& keys) {
  models::WiringDescription wiring;
  wiring.kind = keys.text("graph");
  static const std::set<std::string> kKinds = {
      "complete", "dnw", "dnw_no_update", "random", "fine_tune", "reg_td", "td"};
  if (!kKinds.contains(wiring.kind)) keys.fail("graph", "unknown kind of graph");
  wiring.prune_rate = keys.number_or("prune_rate", 0);
  // A complete graph is never pruned, whatever the file says.
  if (wiring.kind == "complete") wiring.prune_rate = 0;
  if (wiring.kind == "reg_td" || wiring.kind == "td") {
    if (keys.text("rho") != "gamma") wiring.rho = keys.number("rho");
    wiring.keep_sign = false;
  }
  return wiring;
}

// It decides which edges a random graph cannot have, as the network's class does here.
void expect_setting(Keys& keys, const std::string& setting) {
  if (keys.text_or("setting", setting) != setting) {
    keys.fail("setting", "expected " + setting + ", as this network has it");
  }
}

models::Description model_of(Keys& keys) {
  const std::string name = class_of(keys, "model");
  if (name == "MobileNetV1CIFAR") {
    keys.text_or("setting", "");
    return models::MobileNetV1Description{.width = keys.number_or("width_mult", 1)};
  }
  if (name == "MobileNetV1Like") {
    expect_setting(keys, "static");
    models::WiredMobileNetV1Description model{.small = keys.truth_or("small", false)};
    model.wiring = wiring_of(keys);
    return model;
  }
  models::SmallDescription model;
  std::string setting = "static";
  if (name == "StaticNeuralGraph") {
    model.kind = "static";
    model.layers = keys.integer("layers");
  } else if (name == "DiscreteTimeNeuralGraph") {
    model.kind = "discrete";
    setting = "discrete_time";
    model.steps = keys.integer("layers");
  } else if (name == "ContinuousTimeNeuralGraph") {
    model.kind = setting = "continuous";
    keys.integer_or("layers", 0);  // unread there too
  } else {
    keys.fail("model", "unknown network '" + printable(name) + "'");
  }
  expect_setting(keys, setting);
  model.dim = keys.integer("dim");
  model.downsample_dim = keys.integer("downsample_dim");
  model.feature_dim = keys.integer("feature_dim");
  model.wiring = wiring_of(keys);
  return model;
}

ScheduleDescription schedule_of(Keys& keys) {
  ScheduleDescription schedule;
  const std::string kind = keys.text("lr_scheduler");
  if (kind == "multistep") {
    schedule.kind = kind;
    schedule.milestones = keys.integers("multistep_lr_milestones");
    schedule.gamma = keys.number("multistep_lr_gamma");
  } else if (kind == "exp_decaying") {
    schedule.kind = "exponential";
    schedule.gamma = keys.number("exp_decaying_lr_gamma");
  } else if (kind == "linear_decaying") {
    schedule.kind = "linear";
  } else if (kind == "cosine") {
    schedule.kind = kind;
  } else {
    keys.fail("lr_scheduler", "expected multistep, exp_decaying, linear_decaying or cosine");
  }
  return schedule;
}

TrainingDescription training_of(Keys& keys) {
  TrainingDescription training;
  training.epochs = keys.integer("num_epochs");
  training.batch_size = keys.integer("batch_size");
  training.test_batch_size = keys.integer_or("test_batch_size", 0);
  if (training.test_batch_size == training.batch_size) training.test_batch_size = 0;
  if (keys.text("optimizer") != "sgd") keys.fail("optimizer", "expected sgd");
  training.optimizer.kind = "sgd";
  training.optimizer.lr = keys.number("lr");
  training.optimizer.momentum = keys.number_or("momentum", 0);
  training.optimizer.weight_decay = keys.number_or("weight_decay", 0);
  training.optimizer.nesterov = keys.truth_or("nestorov", false);
  training.schedule = schedule_of(keys);
  if (keys.has("topk")) training.topk = keys.integers("topk");
  return training;
}

std::string name_of(const std::filesystem::path& file) {
  std::string name = file.stem().string();
  for (char& c : name) c = c == '_' ? '-' : c;
  return name;
}

}  // namespace

Converted from_published(const std::filesystem::path& file) {
  const Node root = parse_published_yaml(file);
  Keys keys(root);
  Converted converted;
  Experiment& experiment = converted.experiment;
  experiment.name = name_of(file);
  experiment.data = data_of(keys);
  experiment.model = model_of(keys);
  experiment.training = training_of(keys);
  experiment.seed = keys.integer_or("random_seed", 0);
  if (const std::string edges = keys.text_or("use_graph", ""); !edges.empty()) {
    experiment.start = Start{.weights = keys.text_or("use_init", edges), .edges = ""};
    if (keys.has("use_init")) experiment.start->edges = edges;
    converted.notes.push_back(
        "start names files of the published code: convert them with rewire import-dnw");
  }
  if (keys.has("seed")) {
    keys.get("seed");
    converted.notes.push_back("seed: the published code reads random_seed alone, and 0 without it");
  }
  for (const char* key : {"save_dir", "log_dir", "evaluate", "skip_profiling", "prune"}) {
    if (keys.has(key)) keys.get(key);  // where files go, and what is a command of its own here
  }
  if (const std::string resume = keys.text_or("resume", ""); !resume.empty()) {
    converted.notes.push_back("resume: is the option --resume of rewire train");
  }
  for (const std::string& key : keys.left()) converted.notes.push_back(key + ": says nothing here");
  // What would be refused in a file of ours is refused here.
  experiment = parse(to_yaml(experiment), file.string() + " in our words");
  return converted;
}

}  // namespace rewire::config
