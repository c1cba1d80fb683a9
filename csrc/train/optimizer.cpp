#include "train/optimizer.h"

#include <algorithm>
#include <functional>

#include "error.h"

namespace rewire::train {
namespace {

namespace optim = torch::optim;

std::unique_ptr<optim::Optimizer> make(const config::OptimizerDescription& description,
                                       const std::vector<at::Tensor>& parameters) {
  const auto adam_options = [&]<class Options>(Options options) {
    return options.betas({description.betas.at(0), description.betas.at(1)})
        .eps(description.eps)
        .weight_decay(description.weight_decay);
  };
  if (description.kind == "adam") {
    return std::make_unique<optim::Adam>(parameters,
                                         adam_options(optim::AdamOptions(description.lr)));
  }
  if (description.kind == "adamw") {
    return std::make_unique<optim::AdamW>(parameters,
                                          adam_options(optim::AdamWOptions(description.lr)));
  }
  return std::make_unique<optim::SGD>(parameters, optim::SGDOptions(description.lr)
                                                      .momentum(description.momentum)
                                                      .weight_decay(description.weight_decay)
                                                      .nesterov(description.nesterov));
}

// Parameters that have the optimiser's options but for weight decay.
optim::OptimizerParamGroup group_without_decay(const optim::Optimizer& optimizer,
                                               const std::vector<at::Tensor>& parameters) {
  auto options = optimizer.defaults().clone();
  // Each kind has its own class of options.
  if (auto* sgd = dynamic_cast<optim::SGDOptions*>(options.get())) {
    sgd->weight_decay(0);
  } else if (auto* adam = dynamic_cast<optim::AdamOptions*>(options.get())) {
    adam->weight_decay(0);
  } else {
    static_cast<optim::AdamWOptions&>(*options).weight_decay(0);
  }
  return {parameters, std::move(options)};
}

// The state of one parameter as (name, tensor) pairs; `step` counts are handled apart.
template <class State>
void put_moments(const State& state, const std::string& prefix, TensorMap& tensors) {
  tensors[prefix + "step"] = at::scalar_tensor(state.step(), at::kLong);
  tensors[prefix + "exp_avg"] = state.exp_avg();
  tensors[prefix + "exp_avg_sq"] = state.exp_avg_sq();
}

using Find = std::function<at::Tensor(const char* what)>;

template <class State>
std::unique_ptr<State> moments(const Find& find) {
  auto state = std::make_unique<State>();
  state->step(find("step").template item<int64_t>());
  state->exp_avg(find("exp_avg").clone());
  state->exp_avg_sq(find("exp_avg_sq").clone());
  return state;
}

}  // namespace

bool without_decay(const config::OptimizerDescription& description, const std::string& name) {
  return std::any_of(description.no_decay.begin(), description.no_decay.end(),
                     [&](const std::string& part) { return name.find(part) != name.npos; });
}

Optimizer::Optimizer(const config::OptimizerDescription& description,
                     const torch::jit::Module& module)
    : kind_(description.kind) {
  std::vector<at::Tensor> decayed, others;
  for (const auto& item : module.named_parameters()) {
    parameters_.push_back({item.name, item.value});
    (without_decay(description, item.name) ? others : decayed).push_back(item.value);
  }
  refuse_unknown_parts(description.no_decay);
  optimizer_ = make(description, decayed);
  if (!others.empty()) optimizer_->add_param_group(group_without_decay(*optimizer_, others));
}

void Optimizer::refuse_unknown_parts(const std::vector<std::string>& parts) const {
  for (const std::string& part : parts) {
    const bool known = std::any_of(
        parameters_.begin(), parameters_.end(),
        [&](const Named& parameter) { return parameter.name.find(part) != std::string::npos; });
    if (!known) {
      throw ConfigError("training.optimizer.no_decay: no parameter's name has a part '" + part +
                        "'");
    }
  }
}

void Optimizer::set_learning_rate(double lr) {
  for (auto& group : optimizer_->param_groups()) group.options().set_lr(lr);
}

void Optimizer::save(TensorMap& tensors) const {
  for (const Named& parameter : parameters_) {
    const auto found = optimizer_->state().find(parameter.tensor.unsafeGetTensorImpl());
    if (found == optimizer_->state().end()) continue;
    const std::string prefix = "optimizer." + parameter.name + ".";
    if (kind_ == "sgd") {
      const auto& buffer = static_cast<optim::SGDParamState&>(*found->second).momentum_buffer();
      if (buffer.defined()) tensors[prefix + "momentum_buffer"] = buffer;
    } else if (kind_ == "adam") {
      put_moments(static_cast<optim::AdamParamState&>(*found->second), prefix, tensors);
    } else {
      put_moments(static_cast<optim::AdamWParamState&>(*found->second), prefix, tensors);
    }
  }
}

void Optimizer::load(const TensorMap& tensors) {
  optimizer_->state().clear();
  for (const Named& parameter : parameters_) {
    const std::string prefix = "optimizer." + parameter.name + ".";
    if (!tensors.contains(prefix + (kind_ == "sgd" ? "momentum_buffer" : "step"))) continue;
    const Find find = [&](const char* what) {
      const auto found = tensors.find(prefix + what);
      if (found == tensors.end() ||
          (std::string(what) != "step" && found->second.sizes() != parameter.tensor.sizes())) {
        throw CheckpointError("no usable " + prefix + what);
      }
      return found->second.to(parameter.tensor.device());
    };
    std::unique_ptr<optim::OptimizerParamState> state;
    if (kind_ == "sgd") {
      auto sgd = std::make_unique<optim::SGDParamState>();
      sgd->momentum_buffer(find("momentum_buffer").clone());
      state = std::move(sgd);
    } else if (kind_ == "adam") {
      state = moments<optim::AdamParamState>(find);
    } else {
      state = moments<optim::AdamWParamState>(find);
    }
    optimizer_->state()[parameter.tensor.unsafeGetTensorImpl()] = std::move(state);
  }
}

}  // namespace rewire::train
