// What an experiment file may say: for each section its keys, their types, bounds and defaults,
// once, for reading and for writing (a visitor is a Reader or a Writer).
#pragma once

#include <algorithm>

#include "config/experiment.h"
#include "config/reader.h"

namespace rewire::config {

// A matrix of candidates of that side takes 1 GiB.
constexpr double kMaxChannels = 16384;
constexpr double kMaxEdges = 1 << 26;  // which take 3 GB with what training keeps of each

inline bool can_be_folder(const std::string& name) {
  const auto forbidden = [](unsigned char c) { return c == '/' || c < 0x20; };
  return !name.empty() && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), forbidden);
}

template <class Visitor>
void fields(Visitor& v, data::Augmentation& step) {
  v.choice("kind", step.kind, {"random_crop", "horizontal_flip", "random_resized_crop"});
  if (step.kind == "random_crop") v.required("padding", step.padding, {0, 1024});
  if (step.kind == "random_resized_crop") {
    const auto check = [&](const std::string& key, const std::vector<double>& range) {
      v.check(range.size() == 2 && range[0] <= range[1], key, "expected two ascending numbers");
    };
    v.field("size", step.size, kPositive);
    v.field("scale", step.scale, {1e-6, 1});
    check("scale", step.scale);
    v.field("ratio", step.ratio, {0.01, 100});
    check("ratio", step.ratio);
  }
}

template <class Visitor>
void fields(Visitor& v, data::Normalization& normalize) {
  v.required("mean", normalize.mean, kFraction);
  v.required("std", normalize.std, {1e-6, 1e6});
}

template <class Visitor>
void table_fields(Visitor& v, data::Description& data) {
  v.required("rows", data.rows, {-1e30, 1e30});
  v.field("targets", data.targets, {1, kMaxChannels});
  const size_t width = data.rows.empty() ? 0 : data.rows[0].size();
  v.check(width > size_t(data.targets), "rows",
          "expected rows, of more numbers than the targets, " + std::to_string(data.targets));
  v.check(std::all_of(data.rows.begin(), data.rows.end(),
                      [&](const std::vector<double>& row) { return row.size() == width; }),
          "rows", "expected as many numbers in each row as in the first");
  v.field("within", data.within, {0, 1e30});
  v.field("workers", data.workers, {0, 256});
}

template <class Visitor>
void fields(Visitor& v, data::Description& data) {
  v.choice("kind", data.kind, {"cifar10", "mnist", "digits", "imagefolder", "table"});
  if (data.kind == "table") return table_fields(v, data);
  if (data.kind == "digits") {
    v.field("root", data.root);
  } else {
    v.required("root", data.root);
  }
  if (data.kind == "imagefolder") {
    v.required("classes", data.classes, {1, 65536});
    v.field("image_size", data.image_size, {4, 4096});
    v.field("val_resize", data.val_resize, {4, 8192});
    v.check(data.val_resize >= data.image_size, "val_resize",
            "expected at least image_size, " + std::to_string(data.image_size));
    v.choice("on_bad_image", data.on_bad_image, {"error", "skip"});
  }
  v.sections("augment", data.augment);
  const int64_t size = data::image_spec(data).size;
  for (const data::Augmentation& step : data.augment) {
    v.check(step.size.value_or(size) == size, "augment",
            "random_resized_crop: expected a size of " + std::to_string(size) +
                ", as the network's images have it");
  }
  v.section("normalize", data.normalize);
  const auto channels = size_t(data::image_spec(data).channels);
  v.check(data.normalize.mean.size() == channels && data.normalize.std.size() == channels,
          "normalize", "expected mean and std of " + std::to_string(channels) + " channels");
  v.field("workers", data.workers, {0, 256});
}

template <class Visitor>
void fields(Visitor& v, models::SampledGradient& gradient) {
  v.required("candidates", gradient.candidates, {0.001, 1});
}

template <class Visitor>
void fields(Visitor& v, models::WiringDescription& wiring) {
  v.choice("kind", wiring.kind,
           {"complete", "dnw", "dnw_no_update", "random", "fine_tune", "reg_td", "td"});
  v.field("prune_rate", wiring.prune_rate, kFraction);
  v.check(wiring.kind != "complete" || wiring.prune_rate == 0, "prune_rate",
          "a complete wiring keeps every edge: 0 is the only value");
  if (wiring.kind == "dnw")
    v.choice("gradient", wiring.gradient, {"all", "kept"}, wiring.sampled, "{candidates: 0.1}");
  if (wiring.kind == "reg_td" || wiring.kind == "td") {
    v.field("rho", wiring.rho, kFraction);
    v.field("keep_sign", wiring.keep_sign);
  }
}

template <class Visitor>
void fields(Visitor& v, models::SmallDescription& model) {
  v.required("dim", model.dim, {2, kMaxChannels});
  if (model.kind == "static") v.field("layers", model.layers, {2, 1024});
  if (model.kind == "discrete") v.field("steps", model.steps, {1, 1024});
  if (model.kind == "continuous") v.field("tolerance", model.tolerance, {1e-9, 1});
  v.required("downsample_dim", model.downsample_dim, {1, kMaxChannels});
  v.required("feature_dim", model.feature_dim, {1, kMaxChannels});
  v.choice("stem", model.stem, {"strided", "single"});
  v.choice("pool", model.pool, {"center", "global"});
  const int64_t rest = model.dim - model.downsample_dim;
  if (model.kind == "static") {
    const int64_t blocks = std::max<int64_t>(1, model.layers - 1);  // a Writer has checked nothing
    v.check(rest > 0 && rest % blocks == 0, "dim",
            "expected downsample_dim plus a multiple of layers - 1 channels");
    v.check(model.feature_dim <= rest / blocks, "feature_dim",
            "expected at most the channels of the last block, " + std::to_string(rest / blocks));
  } else {
    v.check(rest >= 0, "dim", "expected at least the channels of downsample_dim");
    v.check(model.feature_dim <= model.dim, "feature_dim", "expected at most the channels of dim");
  }
  v.section("wiring", model.wiring);
}

template <class Visitor>
void fields(Visitor& v, models::WiredMobileNetV1Description& model) {
  v.field("small", model.small);
  v.section("wiring", model.wiring);
}

template <class Visitor>
void fields(Visitor& v, models::MobileNetV1Description& model) {
  v.field("width", model.width, {0.04, 16});
}

template <class Visitor>
void fields(Visitor& v, models::ShuffleNetV2Description& model) {
  v.field("width", model.width);
  const double twice = 2 * model.width;
  v.check(twice == 1 || twice == 2 || twice == 3 || twice == 4, "width",
          "expected 0.5, 1, 1.5 or 2, of which channels are published");
}

template <class Visitor>
void fields(Visitor& v, models::ResNetDescription& model) {
  v.required("depth", model.depth);
  const auto depths = {18, 34, 50, 101, 152};
  v.check(std::find(depths.begin(), depths.end(), model.depth) != depths.end(), "depth",
          "expected 18, 34, 50, 101 or 152 layers");
  v.field("dense_first", model.dense_first);
  v.choice("init", model.init, {"fan_in", "fan_out"});
  v.section("wiring", model.wiring);
  v.check(!model.wiring.sampled, "wiring",
          "its convolutions are computed dense, where a sampled gradient saves nothing: expected "
          "gradient all or kept");
}

template <class Visitor>
void fields(Visitor& v, graph::NeuronGroup& group) {
  v.required("name", group.name);
  v.field("neurons", group.neurons, {1, kMaxChannels});
  v.choice("activation", group.activation, graph::activation_names());
  v.required("from", group.from);
  v.field("fan_in", group.fan_in, {0, kMaxEdges});
}

template <class Visitor>
void fields(Visitor& v, models::NeuronsDescription& model) {
  v.choice("init", model.init, {"he", "xavier", "self_normalized", "uniform", "connex"});
  v.sections("groups", model.groups);
  v.field("outputs", model.outputs);
  const std::string fault = graph::fault_of(model.groups, model.outputs);
  v.check(fault.empty(), "groups", fault);
  v.section("wiring", model.wiring);
  v.check(!model.wiring.sampled, "wiring",
          "all edges are one row of candidates: expected gradient all or kept");
}

// The key `kind` names the family, whose keys stand beside it.
template <class Visitor>
void fields(Visitor& v, models::Description& model) {
  std::string kind = models::kind_of(model);
  std::vector<std::string> kinds;
  for (const models::Description& family : models::families()) {
    kinds.push_back(models::kind_of(family));
  }
  v.choice("kind", kind, kinds);
  for (const models::Description& family : models::families()) {
    if (models::kind_of(family) == kind && kind != models::kind_of(model)) model = family;
  }
  std::visit([&](auto& description) { fields(v, description); }, model);
}

template <class Visitor>
void fields(Visitor& v, OptimizerDescription& optimizer) {
  v.choice("kind", optimizer.kind, {"sgd", "adam", "adamw"});
  v.required("lr", optimizer.lr, {0, 1e6});
  v.field("weight_decay", optimizer.weight_decay, {0, 1e6});
  v.field("no_decay", optimizer.no_decay);
  v.check(std::none_of(optimizer.no_decay.begin(), optimizer.no_decay.end(),
                       [](const std::string& part) { return part.empty(); }),
          "no_decay", "expected parts of names, got an empty one");
  if (optimizer.kind == "sgd") {
    v.field("momentum", optimizer.momentum, kFraction);
    v.field("nesterov", optimizer.nesterov);
    v.check(!optimizer.nesterov || optimizer.momentum > 0, "nesterov",
            "Nesterov's momentum needs a momentum above 0");
  } else {
    v.field("betas", optimizer.betas, {0, 0.999999999});
    v.check(optimizer.betas.size() == 2, "betas", "expected two numbers");
    v.field("eps", optimizer.eps, {0, 1});
  }
}

template <class Visitor>
void fields(Visitor& v, ScheduleDescription& schedule) {
  v.choice("kind", schedule.kind, {"constant", "multistep", "cosine", "exponential", "linear"});
  if (schedule.kind == "multistep") {
    v.required("milestones", schedule.milestones, kNotNegative);
    v.check(std::is_sorted(schedule.milestones.begin(), schedule.milestones.end()), "milestones",
            "expected ascending epochs");
  }
  if (schedule.kind == "multistep" || schedule.kind == "exponential") {
    v.field("gamma", schedule.gamma, {0, 1e6});
  }
  if (schedule.kind == "cosine" || schedule.kind == "linear") {
    v.choice("per", schedule.per, {"iteration", "epoch"});
  }
  v.field("warmup_epochs", schedule.warmup_epochs, kNotNegative);
}

template <class Visitor>
void fields(Visitor& v, TrainingDescription& training) {
  v.required("epochs", training.epochs, {0, 1e6});
  v.required("batch_size", training.batch_size, {1, 1e6});
  v.field("test_batch_size", training.test_batch_size, {0, 1e6});
  v.field("drop_last", training.drop_last);
  v.field("sync_batchnorm", training.sync_batchnorm);
  v.field("accumulate", training.accumulate, {1, 1e6});
  v.choice("precision", training.precision, {"float32", "bfloat16"});
  v.choice("loss", training.loss, {"cross_entropy", "mse", "l1", "huber"});
  v.field("label_smoothing", training.label_smoothing, kFraction);
  v.field("mixup", training.mixup, {0, 1000});
  v.section("optimizer", training.optimizer);
  v.section("schedule", training.schedule, /*needed=*/false);
  v.field("topk", training.topk, kPositive);
  v.check(!training.topk.empty() && training.topk[0] == 1, "topk",
          "expected 1, then what else to count");
  v.field("save_every", training.save_every, kNotNegative);
  v.field("keep_every", training.keep_every, kNotNegative);
  v.field("pictures", training.pictures);
}

template <class Visitor>
void fields(Visitor& v, Start& start) {
  v.required("weights", start.weights);
  v.field("edges", start.edges);
}

template <class Visitor>
void fields(Visitor& v, Expectation& expect) {
  v.required("top1", expect.top1, {0, 100});
  v.field("within", expect.within, {0, 100});
  v.field("source", expect.source);
}

// Of a graph of neurons on images of `spec`.
template <class Visitor>
void check_neurons(Visitor& v, const models::NeuronsDescription& model,
                   const data::ImageSpec& spec) {
  const int64_t inputs = spec.channels * spec.size * spec.size;
  int64_t neurons = inputs;
  for (const graph::NeuronGroup& group : model.groups) neurons += group.neurons;
  v.check(double(neurons) <= kMaxChannels, "model",
          std::to_string(neurons) + " neurons, inputs with them: expected at most " +
              std::to_string(int64_t(kMaxChannels)));
  if (!graph::fault_of(model.groups, model.outputs).empty()) return;  // a Writer checks nothing
  v.check(graph::count_edges(model.groups, inputs) <= kMaxEdges, "model",
          "more than " + std::to_string(int64_t(kMaxEdges)) + " edges");
  const size_t outputs = graph::outputs_of(model.groups, inputs, model.outputs).size();
  v.check(outputs == spec.classes.size(), "model",
          "expected as many outputs as there are classes, or targets, " +
              std::to_string(spec.classes.size()) + ", got " + std::to_string(outputs));
}

// Classes have probabilities, a table has numbers.
template <class Visitor>
void check_loss(Visitor& v, const Experiment& experiment) {
  const TrainingDescription& training = experiment.training;
  if (experiment.data.kind != "table") {
    v.check(training.loss == "cross_entropy", "training",
            "loss: expected cross_entropy, as the data has classes, got " + training.loss);
    return;
  }
  v.check(training.loss != "cross_entropy", "training",
          "loss: expected mse, l1 or huber, as a table has no classes");
  v.check(training.mixup == 0 && training.label_smoothing == 0, "training",
          "mixup, label_smoothing: a table has no classes");
  v.check(std::holds_alternative<models::NeuronsDescription>(experiment.model), "model",
          "expected kind neurons, as a table has no images");
}

// Conditions between sections.
template <class Visitor>
void check_together(Visitor& v, const Experiment& experiment) {
  if (experiment.start && !experiment.start->edges.empty()) {
    v.check(models::wiring_kind(experiment.model) == "fine_tune", "start",
            "edges are chosen by a fine_tune wiring alone: leave `edges` out");
  }
  if (experiment.data.kind.empty()) return;
  check_loss(v, experiment);
  const data::ImageSpec spec = data::image_spec(experiment.data);
  if (const auto* model = std::get_if<models::NeuronsDescription>(&experiment.model)) {
    check_neurons(v, *model, spec);
  }
  if (const auto* model = std::get_if<models::SmallDescription>(&experiment.model)) {
    const int64_t side = models::map_size(*model, spec.size);
    v.check(model->pool != "center" || side >= 4, "model",
            "pool: center needs a map of 4x4 at least, and this stem leaves " +
                std::to_string(side) + "; use pool: global");
  }
}

template <class Visitor>
void fields(Visitor& v, Experiment& experiment) {
  v.required("name", experiment.name);
  v.check(can_be_folder(experiment.name), "name", "expected a name that can be a folder's");
  v.field("seed", experiment.seed, kNotNegative);
  v.choice("execution", experiment.execution, {"auto", "sparse", "dense"});
  v.section("data", experiment.data);
  v.section("model", experiment.model);
  v.section("start", experiment.start);
  v.section("training", experiment.training);
  check_together(v, experiment);
  v.section("expect", experiment.expect);
}

}  // namespace rewire::config
