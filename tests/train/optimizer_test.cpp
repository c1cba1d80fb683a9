#include "train/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "error.h"
#include "script/script.h"
#include "support/files.h"
#include "support/golden.h"

namespace rewire::config {
// In the names of the tests.
static void PrintTo(const OptimizerDescription& optimizer, std::ostream* out) {
  *out << optimizer.kind << ", momentum " << optimizer.momentum
       << (optimizer.nesterov ? ", nesterov" : "");
}
}  // namespace rewire::config

namespace rewire::train {
namespace {

// Two parameters and one that never gets a gradient.
torch::jit::Module parameters() {
  torch::jit::Module module = script::new_module("Parameters");
  module.register_parameter("w", at::linspace(-1, 1, 6).view({2, 3}), false);
  module.register_parameter("b", at::tensor({0.5f, -0.25f}), false);
  module.register_parameter("unused", at::ones({2}), false);
  return module;
}

// Gradients that follow from the step and the parameters, as a training's do.
void set_gradients(torch::jit::Module& module, int step) {
  for (const char* name : {"w", "b"}) {
    at::Tensor tensor = module.attr(name).toTensor();
    tensor.mutable_grad() = (tensor.detach() * 3 + float(step)).sin();
  }
}

void take_steps(torch::jit::Module& module, Optimizer& optimizer, int from, int to) {
  for (int step = from; step < to; ++step) {
    optimizer.zero_grad();
    optimizer.set_learning_rate(0.1 / (1 + step));
    set_gradients(module, step);
    optimizer.step();
  }
}

config::OptimizerDescription description(const std::string& kind) {
  config::OptimizerDescription result{.kind = kind, .lr = 0.1, .weight_decay = 0.01};
  if (kind == "sgd") result.momentum = 0.9;
  return result;
}

class EveryOptimizer : public testing::TestWithParam<config::OptimizerDescription> {};

TEST_P(EveryOptimizer, GoesOnFromACheckpointToTheSameBits) {
  const test::TempFolder folder;
  torch::jit::Module whole = parameters(), first = parameters(), second = parameters();
  Optimizer of_whole(GetParam(), whole), of_first(GetParam(), first), of_second(GetParam(), second);
  take_steps(whole, of_whole, 0, 7);

  take_steps(first, of_first, 0, 3);
  TensorMap saved;
  of_first.save(saved);
  write_tensors(folder.path() / "optimizer.pt", saved);

  take_steps(second, of_second, 0, 1);  // what it remembers is replaced
  for (const char* name : {"w", "b"}) {
    const at::NoGradGuard no_grad;
    second.attr(name).toTensor().copy_(first.attr(name).toTensor());
  }
  of_second.load(read_tensors(folder.path() / "optimizer.pt"));
  take_steps(second, of_second, 3, 7);
  for (const char* name : {"w", "b", "unused"}) {
    EXPECT_TRUE(
        test::same(second.attr(name).toTensor().detach(), whole.attr(name).toTensor().detach()));
  }
  TensorMap end_of_whole, end_of_second;
  of_whole.save(end_of_whole);
  of_second.save(end_of_second);
  ASSERT_EQ(end_of_whole.size(), end_of_second.size());
  for (const auto& [name, tensor] : end_of_whole) {
    EXPECT_TRUE(test::same(end_of_second.at(name), tensor)) << name;
  }
}

TEST_P(EveryOptimizer, TheLoadedStateIsItsOwn) {
  torch::jit::Module module = parameters();
  Optimizer optimizer(GetParam(), module);
  take_steps(module, optimizer, 0, 2);
  TensorMap saved;
  optimizer.save(saved);
  for (auto& [name, tensor] : saved) tensor = tensor.clone();
  TensorMap untouched;
  for (const auto& [name, tensor] : saved) untouched[name] = tensor.clone();
  optimizer.load(saved);
  take_steps(module, optimizer, 2, 4);
  for (const auto& [name, tensor] : untouched)
    EXPECT_TRUE(test::same(saved.at(name), tensor)) << name;
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, EveryOptimizer,
    testing::Values(description("sgd"), description("adam"), description("adamw"),
                    config::OptimizerDescription{.kind = "sgd", .lr = 0.1},
                    config::OptimizerDescription{
                        .kind = "adam", .lr = 0.1, .weight_decay = 0.1, .no_decay = {"b"}},
                    config::OptimizerDescription{
                        .kind = "sgd", .lr = 0.1, .momentum = 0.9, .nesterov = true}),
    [](const auto& info) { return info.param.kind + std::to_string(info.index); });

TEST(Optimizer, SgdTakesTheStepOfTheFormula) {
  torch::jit::Module module = script::new_module("One");
  module.register_parameter("w", at::tensor({1.0, -2.0}, at::kDouble), false);
  Optimizer optimizer({.kind = "sgd", .lr = 1, .weight_decay = 0.1, .momentum = 0.5}, module);
  optimizer.set_learning_rate(0.1);
  at::Tensor weight = module.attr("w").toTensor();
  weight.mutable_grad() = at::tensor({0.5, 1.0}, at::kDouble);
  optimizer.step();  // velocity = gradient + 0.1 w = [0.6, 0.8]
  EXPECT_TRUE(test::close(weight.detach(), at::tensor({0.94, -2.08}, at::kDouble), 1e-15));
  optimizer.step();  // velocity = 0.5 [0.6, 0.8] + [0.594, 0.792]
  EXPECT_TRUE(test::close(weight.detach(), at::tensor({0.8506, -2.1992}, at::kDouble), 1e-15));
}

TEST(Optimizer, DecaysAllParametersButTheExempt) {
  for (const char* kind : {"sgd", "adam", "adamw"}) {
    SCOPED_TRACE(kind);
    // What a step of no gradient leaves of each parameter is decay alone.
    const auto moved = [&](const std::vector<std::string>& no_decay) {
      config::OptimizerDescription exempting = description(kind);
      exempting.no_decay = no_decay;
      torch::jit::Module module = script::new_module("Network");
      for (const char* name : {"conv", "bn1", "downsample"}) {
        module.register_parameter(name, at::ones({2}), false);
      }
      Optimizer optimizer(exempting, module);
      optimizer.set_learning_rate(0.5);  // of all groups
      for (const auto& item : module.named_parameters()) {
        at::Tensor(item.value).mutable_grad() = at::zeros({2});
      }
      optimizer.step();
      std::vector<std::string> names;
      for (const auto& item : module.named_parameters()) {
        if (!at::equal(item.value, at::ones({2}))) names.push_back(item.name);
      }
      return names;
    };
    using testing::ElementsAre;
    EXPECT_THAT(moved({}), ElementsAre("conv", "bn1", "downsample"));
    EXPECT_THAT(moved({"bn"}), ElementsAre("conv", "downsample"));
    EXPECT_THAT(moved({"bn", "ample"}), ElementsAre("conv"));
    EXPECT_THAT(moved({"n"}), ElementsAre());
    EXPECT_EQ(test::message_of<ConfigError>([&] {
                moved({"bn", "norm"});
              }),
              "training.optimizer.no_decay: no parameter's name has a part 'norm'");
  }
}

TEST(Optimizer, NamesWhatItSaves) {
  const auto names = [](const std::string& kind) {
    torch::jit::Module module = parameters();
    Optimizer optimizer(description(kind), module);
    TensorMap before, after;
    optimizer.save(before);
    EXPECT_TRUE(before.empty());  // no step yet
    take_steps(module, optimizer, 0, 1);
    optimizer.save(after);
    std::vector<std::string> found;
    for (const auto& [name, tensor] : after) found.push_back(name);
    return found;
  };
  EXPECT_THAT(names("sgd"),
              testing::ElementsAre("optimizer.b.momentum_buffer", "optimizer.w.momentum_buffer"));
  EXPECT_THAT(names("adamw"), testing::ElementsAre("optimizer.b.exp_avg", "optimizer.b.exp_avg_sq",
                                                   "optimizer.b.step", "optimizer.w.exp_avg",
                                                   "optimizer.w.exp_avg_sq", "optimizer.w.step"));
}

TEST(Optimizer, RefusesAStateThatDoesNotFit) {
  torch::jit::Module module = parameters();
  Optimizer sgd(description("sgd"), module), adam(description("adam"), module);
  EXPECT_EQ(test::message_of<CheckpointError>([&] {
              sgd.load({{"optimizer.w.momentum_buffer", at::zeros({3, 2})}});
            }),
            "no usable optimizer.w.momentum_buffer");
  EXPECT_EQ(test::message_of<CheckpointError>([&] {
              adam.load({{"optimizer.w.step", at::scalar_tensor(3, at::kLong)},
                         {"optimizer.w.exp_avg", at::zeros({2, 3})}});
            }),
            "no usable optimizer.w.exp_avg_sq");
}

}  // namespace
}  // namespace rewire::train
