#include "train/published.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <cmath>
#include <set>

#include "error.h"
#include "train/torch_file.h"

namespace rewire::train {
namespace {

using Kind = Value::Kind;

constexpr int64_t kMaxEpochs = 1'000'000;  // as an experiment may have
constexpr size_t kMaxGroups = 2;            // of an optimiser's parameters

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& cause) {
  throw CheckpointError(path.string() + ": " + cause);
}

// A state dict's tensors in its order, without the prefix that torch's DataParallel gives them.
std::vector<std::pair<std::string, const Value*>> named_tensors(const std::filesystem::path& path,
                                                                const Value& root) {
  const Value* state = &root;
  for (const char* key : {"model", "state_dict"}) {
    if (const Value* inner = root.find(key)) state = inner;
  }
  if (state->kind != Kind::kDict) fail(path, "holds no state dict");
  constexpr std::string_view kPrefix = "module.";
  std::vector<std::pair<std::string, const Value*>> named;
  std::set<std::string> names;
  for (size_t i = 0; i + 1 < state->items.size(); i += 2) {
    const Value &key = *state->items[i], &value = *state->items[i + 1];
    if (key.kind != Kind::kText || value.kind != Kind::kTensor) {
      fail(path, "holds no state dict: an entry is no tensor under a name");
    }
    std::string name = key.text;
    if (name.starts_with(kPrefix)) name = name.substr(kPrefix.size());
    if (name != printable(name)) fail(path, "holds a name that is none: " + printable(name));
    if (!names.insert(name).second) fail(path, "holds '" + name + "' twice");
    named.emplace_back(name, &value);
  }
  return named;
}

// The file's tensors, those alone that have the shape of the model's: others have no numbers, for
// their shapes are to be told.
TensorMap tensors_for(const TorchFile& file, const models::Model& model,
                      const std::vector<std::pair<std::string, const Value*>>& named) {
  TensorMap own, found;
  for (const auto& [name, tensor] : script::named_tensors(model.module)) own[name] = tensor;
  for (const auto& [name, value] : named) {
    const auto expected = own.find(name);
    const std::vector<int64_t> sizes = file.sizes(*value);
    found[name] = expected != own.end() && expected->second.sizes() == sizes
                      ? file.tensor(*value).to(expected->second.scalar_type())
                      : at::empty(sizes, at::device(at::kMeta));
  }
  for (const auto& [name, tensor] : own) {  // counted since torch 0.4.1
    if (name.ends_with("num_batches_tracked") && !found.contains(name)) {
      found[name] = at::zeros(tensor.sizes(), tensor.options());
    }
  }
  return found;
}

// The names of the parameters in the order of the optimiser's groups: all in one group, or, as the
// ResNets' code has it without decay of norms, first those with `bn` in their names, then the others.
// Nothing for other groups.
std::vector<std::string> grouped_names(const std::vector<std::string>& names,
                                       const std::vector<const Value*>& groups) {
  const auto size = [&](size_t group) { return groups[group]->items.size(); };
  if (groups.size() == 1 && size(0) == names.size()) return names;
  std::vector<std::string> ordered = names;
  const auto others = std::stable_partition(
      ordered.begin(), ordered.end(),
      [](const std::string& name) { return name.find("bn") != std::string::npos; });
  const bool fits = groups.size() == 2 && size(0) == size_t(others - ordered.begin()) &&
                    size(1) == size_t(ordered.end() - others);
  return fits ? ordered : std::vector<std::string>();
}

// SGD's momentum: the state of the groups' parameters, whose order within a group is that of the
// names, under keys that are numbers today and that torch of that year took from their addresses.
// Returns nothing where any is missing or not finite.
TensorMap momentum_of(const TorchFile& file, const Value& optimizer,
                      const std::vector<std::pair<std::string, const Value*>>& named,
                      const models::Model& model) {
  const Value *state = optimizer.find("state"), *groups = optimizer.find("param_groups");
  if (!state || !groups) return {};
  std::vector<const Value*> group_keys;  // of the states, a list a group
  for (const Value* group : groups->items) {
    const Value* keys = group->find("params");
    if (!keys || group_keys.size() == kMaxGroups) return {};
    group_keys.push_back(keys);
  }
  std::map<std::string, at::Tensor> own;
  for (const auto& item : model.module.named_parameters()) own[item.name] = item.value;
  std::map<int64_t, const Value*> buffers;  // a parameter's state
  for (size_t i = 0; i + 1 < state->items.size(); i += 2) {
    if (state->items[i]->kind == Kind::kInt) {
      buffers[state->items[i]->number] = state->items[i + 1];
    }
  }
  std::vector<std::string> names;
  for (const auto& [name, value] : named) {
    if (own.contains(name)) names.push_back(name);
  }
  names = grouped_names(names, group_keys);
  std::vector<const Value*> keys;
  for (const Value* group : group_keys) {
    keys.insert(keys.end(), group->items.begin(), group->items.end());
  }
  TensorMap momentum;
  for (size_t i = 0; i < names.size(); ++i) {
    const Value* own_state = buffers[keys[i]->number];
    const Value* buffer = own_state ? own_state->find("momentum_buffer") : nullptr;
    if (!buffer || buffer->kind != Kind::kTensor ||
        file.sizes(*buffer) != own.at(names[i]).sizes()) {
      return {};
    }
    const at::Tensor values = file.tensor(*buffer).to(at::kFloat);
    if (!values.isfinite().all().item<bool>()) return {};
    momentum["optimizer." + names[i] + ".momentum_buffer"] = values;
  }
  return momentum;
}

}  // namespace

Published load_published(const std::filesystem::path& path, const config::Experiment& experiment,
                         RunState& state) {
  const TorchFile file(path);
  const Value& root = file.root();
  const auto named = named_tensors(path, root);
  const TensorMap tensors = tensors_for(file, state.model, named);
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.is_meta() && tensor.is_floating_point() && !tensor.isfinite().all().item<bool>()) {
      throw NumberError(name + " is not finite: " + path.string());
    }
  }
  const script::Mismatch mismatch = models::load_state(state.model, tensors);
  if (!mismatch.empty()) fail(path, "does not fit this model: " + mismatch.describe());
  state.edges_before = models::edges_kept(state.model);

  Published published;
  // The classifiers' code writes the last epoch, the ResNets' the next one; the former's first
  // checkpoint names epoch 0 too, after no iteration.
  const Value* iterations = root.find("iter");
  const bool untrained = iterations && iterations->kind == Kind::kFloat && iterations->real == 0;
  if (const Value* epoch = root.find("last_epoch"); epoch && epoch->kind == Kind::kInt) {
    published.epochs =
        untrained || epoch->number < 0 || epoch->number >= kMaxEpochs ? 0 : epoch->number + 1;
  } else if (const Value* next = root.find("epoch"); next && next->kind == Kind::kInt) {
    published.epochs = std::clamp<int64_t>(next->number, 0, kMaxEpochs);
  }
  const auto number = [&](const char* key) -> std::optional<double> {
    const Value* value = root.find(key);
    if (!value) return std::nullopt;
    if (value->kind == Kind::kFloat) return value->real;
    if (value->kind == Kind::kInt) return double(value->number);
    if (value->kind == Kind::kTensor && file.sizes(*value).empty()) {
      return file.tensor(*value).to(at::kDouble).item<double>();
    }
    return std::nullopt;
  };
  if (const auto fraction = number("best_val")) published.best = 100 * *fraction;
  if (const auto percent = number("best_prec1")) published.best = percent;

  const config::OptimizerDescription& optimizer = experiment.training.optimizer;
  if (const Value* saved = root.find("optimizer");
      saved && optimizer.kind == "sgd" && optimizer.momentum > 0) {
    const TensorMap momentum = momentum_of(file, *saved, named, state.model);
    published.optimizer = !momentum.empty();
    state.optimizer.load(momentum);
  }
  state.epoch = std::min(published.epochs, experiment.training.epochs);
  if (published.epochs == 0 || (published.best && !std::isfinite(*published.best))) {
    published.best.reset();
  }
  if (published.best) {
    state.best = {*published.best, std::max<int64_t>(0, state.epoch - 1)};
  }
  return published;
}

}  // namespace rewire::train
