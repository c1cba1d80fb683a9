#include "train/run_state.h"

#include <ATen/Context.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "error.h"

namespace rewire::train {
namespace {

const std::string kModel = "model.", kGradient = "gradient.";
const std::string kGpuGenerator = "generator.gpu";  // of runs on a GPU alone

at::Tensor integer(int64_t value) { return at::scalar_tensor(value, at::kLong); }

// The experiment as far as it decides the numbers of its steps.
config::Experiment decisive(config::Experiment experiment) {
  experiment.training.epochs = 0;
  experiment.training.save_every = 0;
  experiment.training.keep_every = 0;
  experiment.training.pictures = false;
  experiment.data.workers = 0;
  experiment.expect.reset();
  return experiment;
}

bool skips(const config::Experiment& experiment) { return experiment.data.on_bad_image == "skip"; }

const at::Tensor& find(const TensorMap& tensors, const std::string& name,
                       const std::filesystem::path& path) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw CheckpointError(path.string() + ": no tensor '" + name + "'");
  return found->second;
}

void refuse_other(const std::filesystem::path& path, const config::Experiment& saved,
                  const config::Experiment& experiment) {
  const std::vector<std::string> keys =
      config::differing_keys(decisive(saved), decisive(experiment));
  if (keys.empty()) return;
  throw CheckpointError(fmt::format(
      "{}: a checkpoint of another experiment ('{}', which differs in {}); name another "
      "--output, or start over with --resume never",
      path.string(), saved.name, fmt::join(keys, ", ")));
}

// Whether the gradients of some batches wait for those of others.
bool between_batches(const config::Experiment& experiment, const RunState& state) {
  return state.batch_in_epoch % experiment.training.accumulate != 0;
}

at::Generator gpu_generator(const RunState& state) {
  return at::globalContext().defaultGenerator(state.model.device);
}

}  // namespace

TensorMap tensors_of(const config::Experiment& experiment, const RunState& state) {
  TensorMap tensors;
  tensors["config"] = text_tensor(config::to_yaml(experiment));
  for (const auto& [name, tensor] : script::named_tensors(state.model.module)) {
    tensors[kModel + name] = tensor;
  }
  state.optimizer.save(tensors);
  if (between_batches(experiment, state)) {
    int64_t count = 0;
    for (const auto& item : state.model.module.named_parameters()) {
      if (!item.value.grad().defined()) continue;
      tensors[kGradient + item.name] = item.value.grad();
      ++count;
    }
    tensors["progress.gradients"] = integer(count);
  }
  tensors["generator"] = at::Generator(at::detail::getDefaultCPUGenerator()).get_state();
  if (!state.model.device.is_cpu()) tensors[kGpuGenerator] = gpu_generator(state).get_state();
  tensors["progress.epoch"] = integer(state.epoch);
  tensors["progress.step_in_epoch"] = integer(state.batch_in_epoch);
  tensors["progress.sums"] = state.sums.tensor();
  if (skips(experiment)) tensors["progress.skipped"] = integer(state.sums.skipped);
  tensors["progress.best"] = at::tensor({state.best.top1, double(state.best.epoch)}, at::kDouble);
  tensors["progress.last"] = at::tensor({state.last.top1, state.last.loss}, at::kDouble);
  tensors["progress.seconds"] = at::scalar_tensor(state.seconds, at::kDouble);
  for (size_t i = 0; i < state.edges_before.size(); ++i) {
    tensors["edges_before." + state.model.wirings[i].name] = state.edges_before[i];
  }
  for (auto& [name, tensor] : tensors) tensor = tensor.cpu();
  return tensors;
}

namespace {

void refuse_not_finite(const TensorMap& tensors, const std::string& where) {
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.is_floating_point() || tensor.isfinite().all().item<bool>()) continue;
    const bool of_model = name.starts_with(kModel);
    throw NumberError((of_model ? name.substr(kModel.size()) : name) + " is not finite: " + where);
  }
}

// Everything that this program would write must be there in its type and shape, but for the text of
// the experiment and what only a run on a GPU has. A fresh optimiser has no state: it checks its
// own.
void refuse_unlike(const std::filesystem::path& path, const TensorMap& tensors,
                   const TensorMap& own) {
  for (const auto& [name, expected] : own) {
    if (name == "config" || (name == kGpuGenerator && !tensors.contains(name))) continue;
    const at::Tensor& given = find(tensors, name, path);
    if (given.scalar_type() == expected.scalar_type() && given.sizes() == expected.sizes())
      continue;
    throw CheckpointError(
        fmt::format("{}: {}: expected {} [{}], got {} [{}]", path.string(), name,
                    c10::toString(expected.scalar_type()), fmt::join(expected.sizes(), ", "),
                    c10::toString(given.scalar_type()), fmt::join(given.sizes(), ", ")));
  }
}

// The gradients of batches whose step is still to be taken. A parameter that no batch reached has
// none: how many have one is told.
void load_gradients(const std::filesystem::path& path, const TensorMap& tensors,
                    const models::Model& model) {
  int64_t found = 0;
  for (const auto& item : model.module.named_parameters()) {
    const auto given = tensors.find(kGradient + item.name);
    at::Tensor parameter = item.value;
    parameter.mutable_grad() = at::Tensor();
    if (given == tensors.end()) continue;
    if (given->second.sizes() != parameter.sizes() ||
        given->second.scalar_type() != parameter.scalar_type()) {
      throw CheckpointError(path.string() + ": no usable " + given->first);
    }
    parameter.mutable_grad() =
        given->second.to(parameter.device(), /*non_blocking=*/false, /*copy=*/true);
    ++found;
  }
  const auto expected = find(tensors, "progress.gradients", path).item<int64_t>();
  if (found != expected) {
    throw CheckpointError(fmt::format("{}: expected the gradients of {} parameters, got {}",
                                      path.string(), expected, found));
  }
}

void load_tensors(const std::filesystem::path& path, const TensorMap& tensors,
                  models::Model& model) {
  TensorMap state;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(kModel)) state[name.substr(kModel.size())] = tensor;
  }
  refuse_not_finite(state, path.string());
  const script::Mismatch mismatch = models::load_state(model, state);
  if (!mismatch.empty()) {
    throw CheckpointError(path.string() + ": does not fit this model: " + mismatch.describe());
  }
}

}  // namespace

RunState::RunState(const config::Experiment& experiment, models::Model built)
    : model(std::move(built)),
      optimizer(experiment.training.optimizer, model.module),
      sums(experiment.training.topk, experiment.data.within),
      edges_before(models::edges_kept(model)) {}

void save_checkpoint(const std::filesystem::path& path, const config::Experiment& experiment,
                     const RunState& state) {
  const TensorMap tensors = tensors_of(experiment, state);
  refuse_not_finite(tensors, place_of(state));
  write_tensors(path, tensors);
}

std::string place_of(const RunState& state) {
  return fmt::format("epoch {}, step {}", state.epoch + 1, state.batch_in_epoch + 1);
}

void restore(const std::filesystem::path& path, const TensorMap& tensors,
             const config::Experiment& experiment, RunState& state) {
  refuse_other(path, experiment_of(tensors, path), experiment);
  load_tensors(path, tensors, state.model);
  refuse_unlike(path, tensors, tensors_of(experiment, state));
  refuse_not_finite(tensors, path.string());
  const auto get = [&](const std::string& name) { return tensors.at("progress." + name); };
  try {
    state.optimizer.load(tensors);
    at::Generator(at::detail::getDefaultCPUGenerator()).set_state(tensors.at("generator"));
    if (!state.model.device.is_cpu() && tensors.contains(kGpuGenerator)) {
      gpu_generator(state).set_state(tensors.at(kGpuGenerator));
    }
  } catch (const c10::Error& error) {
    throw CheckpointError(path.string() + ": " + error.what_without_backtrace());
  } catch (const CheckpointError& error) {
    throw CheckpointError(path.string() + ": " + error.what());
  }
  state.epoch = get("epoch").item<int64_t>();
  state.batch_in_epoch = get("step_in_epoch").item<int64_t>();
  if (state.epoch < 0 || state.batch_in_epoch < 0) {
    throw CheckpointError(path.string() + ": its place in the training is negative");
  }
  if (between_batches(experiment, state)) load_gradients(path, tensors, state.model);
  state.sums.load(get("sums"));
  if (skips(experiment)) state.sums.skipped = get("skipped").item<int64_t>();
  state.best = {get("best")[0].item<double>(), int64_t(get("best")[1].item<double>())};
  state.last = {get("last")[0].item<double>(), get("last")[1].item<double>()};
  state.seconds = get("seconds").item<double>();
  for (size_t i = 0; i < state.edges_before.size(); ++i) {
    state.edges_before[i] = tensors.at("edges_before." + state.model.wirings[i].name);
  }
}

Origin load_model(const std::filesystem::path& path, models::Model& model) {
  const TensorMap tensors = read_tensors(path);
  load_tensors(path, tensors, model);
  return {experiment_of(tensors, path), finished_epochs(tensors, path)};
}

void load_start(const config::Start& start, const config::Experiment& experiment,
                models::Model& model) {
  // A mask of another rule is not what fine_tune would choose.
  const auto load = [&](const std::string& path) {
    TensorMap tensors = read_tensors(path);
    const config::Experiment source = experiment_of(tensors, path);
    const auto differing = config::differing_keys(source, experiment);
    const bool other = std::any_of(differing.begin(), differing.end(), [](const std::string& key) {
      return key.starts_with("model.");
    });
    for (const models::Wiring& wiring : model.wirings) {
      if (other && wiring.rule.kind == "fine_tune") tensors.erase(kModel + wiring.name + ".mask");
    }
    load_tensors(path, tensors, model);
  };
  if (start.edges.empty()) return load(start.weights);
  load(start.edges);
  std::vector<std::pair<at::Tensor, at::Tensor>> chosen;  // a mask, and what it is to be
  for (const models::Wiring& wiring : model.wirings) {
    if (wiring.rule.kind != "fine_tune") continue;
    const at::Tensor mask = models::wiring_module(model, wiring).attr("mask").toTensor();
    chosen.emplace_back(mask, mask.clone());
  }
  load(start.weights);
  for (auto& [mask, values] : chosen) mask.copy_(values);
}

config::Experiment experiment_of(const TensorMap& tensors, const std::filesystem::path& path) {
  try {
    return config::parse(tensor_text(find(tensors, "config", path)), path.string());
  } catch (const ConfigError& error) {
    throw CheckpointError(std::string("its experiment cannot be read: ") + error.what());
  }
}

int64_t finished_epochs(const TensorMap& tensors, const std::filesystem::path& path) {
  const at::Tensor& epoch = find(tensors, "progress.epoch", path);
  if (epoch.dim() != 0 || epoch.scalar_type() != at::kLong) {
    throw CheckpointError(path.string() + ": progress.epoch: expected a number");
  }
  return epoch.item<int64_t>();
}

}  // namespace rewire::train
