// LibTorch's optimisers from a description, with their state by parameter name.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "config/training.h"
#include "train/checkpoint_file.h"

namespace rewire::train {

// Whether the description exempts the parameter `name` from weight decay.
bool without_decay(const config::OptimizerDescription& description, const std::string& name);

class Optimizer {
 public:
  // Of all parameters of `module`, with weight decay but for those that the description exempts.
  // Throws ConfigError where it exempts by a name that none has a part of.
  Optimizer(const config::OptimizerDescription& description, const torch::jit::Module& module);

  void set_learning_rate(double lr);
  void zero_grad() { optimizer_->zero_grad(); }
  void step() { optimizer_->step(); }

  // State under "optimizer.<parameter>.<what>": momentum_buffer (sgd); step, exp_avg, exp_avg_sq
  // (adam, adamw). Parameters that took no step yet have none.
  void save(TensorMap& tensors) const;
  // Throws CheckpointError where a state has not its parameter's shape or is incomplete.
  void load(const TensorMap& tensors);

 private:
  struct Named {
    std::string name;
    at::Tensor tensor;
  };

  void refuse_unknown_parts(const std::vector<std::string>& parts) const;

  std::string kind_;
  std::vector<Named> parameters_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

}  // namespace rewire::train
