#include "train/run_state.h"

#include <ATen/CPUGeneratorImpl.h>

#include "error.h"

namespace rewire::train {
namespace {

const std::string kModel = "model.";

at::Tensor integer(int64_t value) { return at::scalar_tensor(value, at::kLong); }

// The experiment as far as it decides the numbers of its steps.
std::string decisive(config::Experiment experiment) {
  experiment.training.epochs = 0;
  experiment.training.save_every = 0;
  experiment.training.keep_every = 0;
  experiment.training.pictures = false;
  experiment.data.workers = 0;
  experiment.expect.reset();
  return config::to_yaml(experiment);
}

const at::Tensor& find(const TensorMap& tensors, const std::string& name,
                       const std::filesystem::path& path) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw CheckpointError(path.string() + ": no tensor '" + name + "'");
  return found->second;
}

void refuse_other(const std::filesystem::path& path, const std::string& text,
                  const config::Experiment& experiment) {
  config::Experiment saved;
  try {
    saved = config::parse(text, path.string());
  } catch (const ConfigError& error) {
    throw CheckpointError(std::string("its experiment cannot be read: ") + error.what());
  }
  if (decisive(saved) != decisive(experiment)) {
    throw CheckpointError(path.string() + ": a checkpoint of another experiment ('" + saved.name +
                          "'); name another --output, or start over with --resume never");
  }
}

void load_tensors(const std::filesystem::path& path, const TensorMap& tensors, models::Model& model) {
  TensorMap state;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(kModel)) state[name.substr(kModel.size())] = tensor;
  }
  const script::Mismatch mismatch = models::load_state(model, state);
  if (!mismatch.empty()) {
    throw CheckpointError(path.string() + ": does not fit this model: " + mismatch.describe());
  }
}

}  // namespace

RunState::RunState(const config::Experiment& experiment, models::Model built)
    : model(std::move(built)),
      optimizer(experiment.training.optimizer, model.module),
      sums(experiment.training.topk) {
  for (const models::Wiring& wiring : model.wirings) {
    edges_before.push_back(models::edges_kept(model, wiring));
  }
}

void save_checkpoint(const std::filesystem::path& path, const config::Experiment& experiment,
                     const RunState& state) {
  TensorMap tensors;
  tensors["config"] = text_tensor(config::to_yaml(experiment));
  for (const auto& [name, tensor] : script::named_tensors(state.model.module)) {
    tensors[kModel + name] = tensor;
  }
  state.optimizer.save(tensors);
  tensors["generator"] = at::Generator(at::detail::getDefaultCPUGenerator()).get_state();
  tensors["progress.epoch"] = integer(state.epoch);
  tensors["progress.step_in_epoch"] = integer(state.step_in_epoch);
  tensors["progress.sums"] = state.sums.tensor();
  tensors["progress.best"] = at::tensor({state.best.top1, double(state.best.epoch)}, at::kDouble);
  tensors["progress.last"] = at::tensor({state.last.top1, state.last.loss}, at::kDouble);
  tensors["progress.seconds"] = at::scalar_tensor(state.seconds, at::kDouble);
  for (size_t i = 0; i < state.edges_before.size(); ++i) {
    tensors["edges_before." + state.model.wirings[i].name] = state.edges_before[i];
  }
  write_tensors(path, tensors);
}

void load_checkpoint(const std::filesystem::path& path, const config::Experiment& experiment,
                     RunState& state) {
  const TensorMap tensors = read_tensors(path);
  const auto get = [&](const std::string& name) { return find(tensors, name, path); };
  refuse_other(path, tensor_text(get("config")), experiment);
  load_tensors(path, tensors, state.model);
  state.optimizer.load(tensors);
  state.epoch = get("progress.epoch").item<int64_t>();
  state.step_in_epoch = get("progress.step_in_epoch").item<int64_t>();
  state.sums.load(get("progress.sums"));
  state.best = {get("progress.best")[0].item<double>(), int64_t(get("progress.best")[1].item<double>())};
  state.last = {get("progress.last")[0].item<double>(), get("progress.last")[1].item<double>()};
  state.seconds = get("progress.seconds").item<double>();
  for (size_t i = 0; i < state.edges_before.size(); ++i) {
    state.edges_before[i] = get("edges_before." + state.model.wirings[i].name);
  }
  at::Generator(at::detail::getDefaultCPUGenerator()).set_state(get("generator"));
}

int64_t load_model(const std::filesystem::path& path, models::Model& model) {
  const TensorMap tensors = read_tensors(path);
  load_tensors(path, tensors, model);
  return find(tensors, "progress.epoch", path).item<int64_t>();
}

}  // namespace rewire::train
