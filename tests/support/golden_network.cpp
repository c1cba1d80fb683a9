#include "support/golden_network.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include "ops/rewire.h"
#include "support/formula.h"

namespace rewire::test {
namespace {

using at::Tensor;

// Measured against float64: logits 8e-7 in evaluation; a trajectory's logits 1e-6, its final
// tensors 1e-6 (MobileNetV1's 1.3e-5).
constexpr double kEvalLogits = 1e-5, kLoss = 1e-5, kTrajectoryLoss = 1e-4, kTrajectoryLogits = 5e-4,
                 kTrajectoryFinal = 1e-3;

uint32_t seed_of(const Golden& golden) { return uint32_t(golden.at("seed").item<int64_t>()); }

Tensor stats(const Tensor& tensor) {
  const Tensor values = tensor.detach().to(at::kDouble);
  return torch::stack({values.sum(), values.abs().sum(), values.square().sum()});
}

Tensor sample(const Tensor& tensor) {
  const Tensor flat = tensor.detach().flatten();
  const int64_t count = std::min<int64_t>(1024, flat.numel());
  return flat.index_select(0, torch::arange(count).mul(flat.numel()).div(count, "floor"));
}

std::map<std::string, Tensor> gradients(const models::Model& model) {
  std::map<std::string, Tensor> found;
  for (const auto& item : model.module.named_parameters()) found[item.name] = item.value.grad();
  return found;
}

// Relative to the tensor's largest value; what is nothing but rounding, biases in front of a norm,
// is compared with the network's largest gradient instead.
void expect_gradients(const models::Model& model, const Golden& golden, double tolerance) {
  double largest = 0;
  for (const auto& [name, gradient] : gradients(model)) {
    largest = std::max(largest, gradient.abs().max().item<double>());
  }
  int64_t compared = 0;
  for (const auto& [name, gradient] : gradients(model)) {
    for (const auto& [key, actual] : {std::pair("grad." + name, gradient),
                                      std::pair("grad_sample." + name, sample(gradient))}) {
      const auto expected = golden.find(key);
      if (expected == golden.end()) continue;
      ++compared;
      const double difference = (actual - expected->second).abs().max().item<double>();
      const double allowed =
          std::max(tolerance * expected->second.abs().max().item<double>(), 1e-6 * largest);
      EXPECT_LE(difference, allowed) << key;
    }
    EXPECT_TRUE(close(stats(gradient)[2], golden.at("grad_stats." + name)[2], tolerance) ||
                stats(gradient)[2].item<double>() <
                    1e-12 * largest * largest * double(gradient.numel()))
        << name;
  }
  EXPECT_GE(compared, int64_t(model.module.parameters().size()));
}

}  // namespace

void expect_edges(const models::Model& model, const Golden& golden) {
  for (const models::Wiring& wiring : model.wirings) {
    const Tensor kept = models::edges_kept(model, wiring);
    EXPECT_TRUE(same(kept.sum(), golden.at("kept." + wiring.name))) << wiring.name;
    EXPECT_TRUE(same(kept.sum(1).to(at::kInt), golden.at("kept_per_output." + wiring.name)));
    const auto per_input = golden.find("kept_per_input." + wiring.name);
    if (per_input == golden.end()) continue;  // of a convolution there is none
    EXPECT_TRUE(same(kept.sum(0).to(at::kInt), per_input->second));
  }
}

namespace {

std::vector<Tensor> kept_edges(const models::Model& model) {
  std::vector<Tensor> kept;
  for (const models::Wiring& wiring : model.wirings) {
    kept.push_back(models::edges_kept(model, wiring).clone());
  }
  return kept;
}

}  // namespace

Tensor formula_mask(const std::string& name, uint32_t seed, at::IntArrayRef shape, int64_t pruned,
                    const std::vector<uint8_t>& impossible) {
  const Tensor forbidden = torch::tensor(impossible).view(shape).to(at::kBool);
  const Tensor mask = ops::random_mask(formula_draws(name, seed, shape), pruned, forbidden);
  return mask.to(at::kFloat).unsqueeze(2).unsqueeze(3);
}

void load_formula(models::Model& model, const Golden& golden,
                  const std::function<Tensor(const std::string&, uint32_t)>& mask) {
  const Tensor variance = golden.at("running_var_mid_half");
  std::map<std::string, Tensor> state;
  for (const auto& [name, tensor] : script::named_tensors(model.module)) {
    state[name] = name.ends_with("graph.mask")
                      ? mask(name, seed_of(golden))
                      : formula_parameter(name, seed_of(golden), tensor.sizes(),
                                          {variance[0].item<double>(), variance[1].item<double>()});
  }
  EXPECT_EQ(models::load_state(model, state).describe(), "");
  int64_t checked = 0;
  for (const auto& [name, tensor] : script::named_tensors(model.module)) {
    const auto check = golden.find("check." + name);
    if (check == golden.end()) continue;
    ++checked;
    EXPECT_TRUE(close(stats(tensor), check->second, 1e-12)) << name;
  }
  if (golden.contains("check.conv1.weight") || golden.contains("check.fc.weight")) {
    EXPECT_GE(checked, 10);
  }
}

Tensor formula_input(const Golden& golden) {
  const Tensor sizes = golden.at("input_shape").to(at::kLong);
  const std::vector<int64_t> shape(sizes.const_data_ptr<int64_t>(),
                                   sizes.const_data_ptr<int64_t>() + sizes.numel());
  const Tensor input = formula_tensor("input", seed_of(golden), shape, 0, 2);
  EXPECT_TRUE(close(stats(input), golden.at("input_stats"), 1e-12));
  return input;
}

void expect_network(models::Model& model, const Golden& golden, const Tolerance& tolerance) {
  const Tensor input = formula_input(golden);
  const Tensor labels = golden.at("labels");
  expect_edges(model, golden);

  model.module.eval();
  const Tensor evaluated = model.module.forward({input}).toTensor();
  EXPECT_TRUE(close(evaluated, golden.at("eval.logits"), kEvalLogits));
  EXPECT_TRUE(same(formula_labels("labels", seed_of(golden), evaluated.size(0), evaluated.size(1)),
                   labels));
  if (const auto loss = golden.find("eval.loss"); loss != golden.end()) {
    EXPECT_TRUE(close(torch::cross_entropy_loss(evaluated, labels), loss->second, kLoss));
  }

  model.module.train();
  const Tensor trained = model.module.forward({input}).toTensor();
  const Tensor loss = torch::cross_entropy_loss(trained, labels);
  EXPECT_TRUE(close(trained, golden.at("train.logits"), tolerance.train_logits));
  EXPECT_TRUE(close(loss, golden.at("train.loss"), kLoss));
  loss.backward();
  expect_gradients(model, golden, tolerance.gradient);
  int64_t compared = 0;
  for (const auto& [name, tensor] : script::named_tensors(model.module)) {
    const auto after = golden.find("after." + name);
    if (after == golden.end()) continue;
    ++compared;
    EXPECT_TRUE(close(tensor, after->second, tolerance.statistics)) << name;
  }
  EXPECT_GE(compared, 2);
}

void expect_logits(models::Model& model, const Golden& golden) {
  const at::NoGradGuard no_grad;
  const Tensor input = formula_input(golden);
  model.module.eval();
  EXPECT_TRUE(
      close(model.module.forward({input}).toTensor(), golden.at("eval.logits"), kEvalLogits));
  const auto trained = golden.find("train.logits");
  if (trained == golden.end()) return;
  model.module.train();
  EXPECT_TRUE(
      close(model.module.forward({input}).toTensor(), trained->second, Tolerance().train_logits));
}

void expect_trajectory(models::Model& model, const Golden& golden) {
  const std::vector<Tensor> start = kept_edges(model);
  for (size_t i = 0; i < start.size(); ++i) {
    EXPECT_TRUE(same(start[i].sum(1).to(at::kInt),
                     golden.at("initial.kept_per_output." + model.wirings[i].name)));
  }
  std::vector<Tensor> parameters;
  for (const Tensor& parameter : model.module.parameters()) parameters.push_back(parameter);
  torch::optim::SGD optimizer(parameters,
                              torch::optim::SGDOptions(golden.at("lr").item<double>())
                                  .momentum(golden.at("momentum").item<double>())
                                  .weight_decay(golden.at("weight_decay").item<double>()));
  model.module.train();
  for (int64_t step = 0; step < golden.at("steps").item<int64_t>(); ++step) {
    SCOPED_TRACE(fmt::format("step {}", step));
    const int64_t batch = golden.at("batch").item<int64_t>();
    const Tensor input =
        formula_tensor(fmt::format("input.{}", step), seed_of(golden), {batch, 3, 32, 32}, 0, 2);
    const Tensor labels = golden.at(fmt::format("labels.{}", step));
    optimizer.zero_grad();
    const Tensor logits = model.module.forward({input}).toTensor();
    const Tensor loss = torch::cross_entropy_loss(logits, labels);
    EXPECT_TRUE(
        close(loss.to(at::kDouble), golden.at("loss_before_each_step")[step], kTrajectoryLoss));
    EXPECT_TRUE(close(logits, golden.at(fmt::format("logits.{}", step)), kTrajectoryLogits));
    loss.backward();
    optimizer.step();
    // Two magnitudes that cross at the threshold can turn either way.
    const std::vector<Tensor> now = kept_edges(model);
    for (size_t i = 0; i < now.size(); ++i) {
      const int64_t changed = (now[i] != start[i]).sum().item<int64_t>();
      const auto expected = golden.at("changed_entries_after_step")[step][i].item<int64_t>();
      EXPECT_LE(std::abs(changed - expected), 2 + expected / 1000);
    }
  }
  int64_t compared = 0;
  for (const auto& [name, tensor] : script::named_tensors(model.module)) {
    const auto expected = golden.find("final_sample." + name);
    if (expected == golden.end()) continue;
    ++compared;
    EXPECT_TRUE(close(sample(tensor), expected->second, kTrajectoryFinal)) << name;
  }
  EXPECT_GE(compared, 20);
}

}  // namespace rewire::test
