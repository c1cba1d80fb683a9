// Whole networks against the published code: weights by formula, and what both compute with them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/model.h"
#include "support/golden.h"

namespace rewire::test {

// The mask [out, in, 1, 1] of a random layer: the rule of random_mask on draws by formula.
at::Tensor formula_mask(const std::string& name, uint32_t seed, at::IntArrayRef shape,
                        int64_t pruned, const std::vector<uint8_t>& impossible);

// Fills the model's tensors by formula; mask(name, seed) gives those of random layers.
void load_formula(models::Model& model, const Golden& golden,
                  const std::function<at::Tensor(const std::string&, uint32_t)>& mask);

// The images by formula.
at::Tensor formula_input(const Golden& golden);

// Measured against float64, relative to a tensor's largest value: logits 3e-6, gradients 1e-5 and
// running statistics 3e-7; some networks have larger ones.
struct Tolerance {
  double train_logits = 5e-5, gradient = 5e-4, statistics = 1e-5;
};
// Edges kept, in all, by output and, where the file has it, by input.
void expect_edges(const models::Model& model, const Golden& golden);
// The same; logits and loss, in evaluation and in training; gradients; running statistics.
void expect_network(models::Model& model, const Golden& golden, const Tolerance& tolerance = {});
// Logits in evaluation, then, where the file has them, in training.
void expect_logits(models::Model& model, const Golden& golden);
// Steps of SGD: losses, logits, edges that changed, final tensors.
void expect_trajectory(models::Model& model, const Golden& golden);

}  // namespace rewire::test
