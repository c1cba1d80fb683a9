// Every op, one row each, and what the harness checks of it. A new op adds its row.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "rows.h"
#include "support/op_harness.h"
#include "support/reference.h"

namespace {

using namespace rewire::test;
using at::Tensor;

Tensor uniform(at::IntArrayRef shape, uint64_t seed) {
  return at::rand(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kDouble);
}

struct Weight {
  std::string name;
  Tensor weight;
  bool large = false;
};

// Weights [out, in] of the sizes and values where a selection might go wrong.
std::vector<Weight> weights() {
  return {{"a few", drawn({7, 13}, 1)},
          {"many equal", (drawn({30, 41}, 2) * 2).round()},
          {"all zero", at::zeros({5, 6}, at::kDouble)},
          {"one", at::full({1, 1}, -2.0, at::kDouble)},
          {"no outputs", at::zeros({0, 4}, at::kDouble)},
          {"no inputs", at::zeros({3, 0}, at::kDouble)},
          {"a row of several tiles", drawn({2, 4500}, 3)},
          {"short rows", drawn({40, 2}, 4)},
          {"many short rows", drawn({1100, 3}, 4), true},
          {"infinite", at::where(drawn({9, 9}, 5) > 1, std::numeric_limits<double>::infinity(),
                                 drawn({9, 9}, 6))},
          {"large", drawn({400, 300}, 7), true}};
}

// Makes samples of every weight, with few, some and all of its entries.
template <typename F>
std::vector<Sample> for_each_weight(F&& f) {
  std::vector<Sample> samples;
  for (const auto& [name, weight, large] : weights()) {
    const int64_t all = weight.numel();
    const std::set<int64_t> counts =
        large ? std::set{all / 2} : std::set{int64_t{0}, all / 20, all / 2, all};
    for (const int64_t count : counts) {
      samples.push_back({name + ", " + std::to_string(count), f(weight, count), large});
    }
  }
  return samples;
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const Tensor kSmall = torch::tensor({{0.1, -0.9, 0.0}, {0.4, 0.2, 0.7}}, torch::kDouble);
const Tensor kWithNan = torch::tensor({{0.1, kNan, 0.0}, {0.4, 0.2, 0.7}}, torch::kDouble);
const Tensor kInts = torch::ones({2, 3}, torch::kInt);
const Tensor kMask = torch::tensor({{true, false, true}, {false, true, true}});
const Tensor kElsewhere = torch::empty({2, 3}, torch::device(torch::kMeta).dtype(torch::kDouble));

constexpr const char* kNoDtype = " of dtype Float, Double, Half or BFloat16, got Int";

Op select_row() {
  Op op{.name = "select"};
  op.reference = [](const Values& a) -> Values {
    const Tensor weight = a[0].toTensor().flatten(1);
    const auto s = structure_of(weight, strongest(weight, a[1].toInt()));
    return {s.row_offsets, s.columns, s.column_offsets, s.rows, s.order, s.threshold};
  };
  op.samples = for_each_weight([](const Tensor& weight, int64_t keep) -> Values {
    return {weight, keep};
  });
  op.samples.push_back({"a convolution's", {drawn({6, 5, 1, 1}, 8), 7}});
  op.samples.push_back(
      {"a good hint", {drawn({40, 30}, 9), 200, at::scalar_tensor(1.4, at::kDouble)}});
  op.samples.push_back(
      {"a bad hint", {drawn({40, 30}, 9), 200, at::scalar_tensor(kNan, at::kDouble)}});
  op.refusals = {
      {{kSmall, 7}, "select: expected keep in [0, 6], got 7"},
      {{kSmall, -1}, "select: expected keep in [0, 6], got -1"},
      {{kInts, 1}, std::string("select: expected weight") + kNoDtype},
      {{kSmall.view({2, 3, 1}), 1},
       "select: expected weight of shape [out, in] or [out, in, 1, 1], got [2, 3, 1]"},
      {{kSmall, 1, kSmall}, "select: expected hint of shape [], got [2, 3]"},
      {{kSmall, 1, torch::tensor(1.0f)}, "select: expected hint of dtype Double, got Float"},
      {{kSmall, 1, kElsewhere.sum()}, "select: expected hint on cpu, got meta", false},
      {{kWithNan, 1}, "select: expected weight without NaN, got NaN in row 0, column 1", false}};
  return op;
}

Op strongest_mask_row() {
  Op op{.name = "strongest_mask"};
  op.reference = [](const Values& a) -> Values {
    return {strongest(a[0].toTensor(), a[1].toInt())};
  };
  op.samples = for_each_weight([](const Tensor& weight, int64_t keep) -> Values {
    return {weight, keep};
  });
  op.samples.push_back({"a vector", {drawn({11}, 8), 4}});
  op.samples.push_back({"a number", {drawn({}, 8), 1}});
  op.refusals = {{{kSmall, 7}, "strongest_mask: expected keep in [0, 6], got 7"},
                 {{kInts, 1}, std::string("strongest_mask: expected weight") + kNoDtype},
                 {{kWithNan, 1},
                  "strongest_mask: expected weight without NaN, got NaN in row 0, column 1",
                  false}};
  return op;
}

// The identity in backward, whatever forward did.
struct StraightThrough : torch::autograd::Function<StraightThrough> {
  static Tensor forward(torch::autograd::AutogradContext*, const Tensor&, const Tensor& out) {
    return out.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list& grads) {
    return {grads[0], Tensor()};
  }
};

Op keep_strongest_row(const std::string& gradient) {
  Op op{.name = "keep_strongest"};
  op.gradient = gradient == "all" ? Gradient::kStraightThrough : Gradient::kDerivative;
  op.reference = [](const Values& a) -> Values {
    const Tensor weight = a[0].toTensor();
    const Tensor mask = strongest(weight, a[1].toInt());
    const Tensor kept = at::where(mask, weight, 0);
    return {a[2].toStringRef() == "kept" ? kept : StraightThrough::apply(weight, kept.detach())};
  };
  // Where entries of one magnitude are told apart by their index there is no derivative.
  for (const Sample& sample : for_each_weight([&](const Tensor&weight, int64_t keep) -> Values {
         return {weight, keep, gradient};
       })) {
    const bool ties = sample.name.starts_with("many equal") ||
                      sample.name.starts_with("all zero") || sample.name.starts_with("infinite");
    if (gradient == "all" || !ties) op.samples.push_back(sample);
  }
  op.refusals = {
      {{kSmall, 7, gradient}, "keep_strongest: expected keep in [0, 6], got 7"},
      {{kInts, 1, gradient}, std::string("keep_strongest: expected weight") + kNoDtype},
      {{kSmall, 1, "none"}, "keep_strongest: expected gradient `all` or `kept`, got `none`"}};
  if (gradient ==
      "all") {  // with `kept`, the mask that backward needs is chosen first, and says so
    op.refusals.push_back(
        {{kWithNan, 1, gradient},
         "keep_strongest: expected weight without NaN, got NaN in row 0, column 1",
         false});
  }
  return op;
}

Op keep_strongest_backward_row() {
  Op op{.name = "keep_strongest_backward", .gradient = Gradient::kDerivative};
  op.launches_kernels = false;
  op.reference = [](const Values& a) -> Values {
    return {at::where(a[1].toTensor(), a[0].toTensor(), 0)};
  };
  op.samples = {{"a few", {drawn({7, 13}, 1), drawn({7, 13}, 2) > 0}},
                {"empty", {at::zeros({0, 4}, at::kDouble), at::zeros({0, 4}, at::kBool)}}};
  op.refusals = {
      {{kInts, kMask}, std::string("keep_strongest_backward: expected grad_output") + kNoDtype},
      {{kSmall, kSmall}, "keep_strongest_backward: expected mask of dtype Bool, got Double"},
      {{kSmall, kMask.t()}, "keep_strongest_backward: expected mask of shape [2, 3], got [3, 2]"},
      {{kSmall, kElsewhere > 0}, "keep_strongest_backward: expected mask on cpu, got meta", false}};
  return op;
}

// What targeted dropout leaves of a weight, by its arguments.
Tensor left(const Values& a) {
  const Tensor weight = a[0].toTensor();
  const int64_t candidates = a[1].toInt();
  const bool per_row = a[2].toBool();
  const int64_t width = weight.size(0) == 0 ? 0 : weight.numel() / weight.size(0);
  const Tensor strong = per_row ? strongest_by_row(weight, width - candidates)
                                : strongest(weight, weight.numel() - candidates);
  if (a[3].isNone()) return strong;
  const Tensor draws = a[3].toTensor();
  return strong | ~(draws < at::full({}, a[4].toDouble(), draws.options()));
}

// Samples of weight, candidates, per_row, draws, drop_rate; by row, with as many as a row has.
std::vector<Sample> dropouts(bool per_row, const Values& more) {
  return for_each_weight([&](const Tensor& weight, int64_t count) -> Values {
    const int64_t candidates = per_row ? count / std::max<int64_t>(weight.size(0), 1) : count;
    Values arguments{weight, candidates, per_row, uniform(weight.sizes(), 10), 0.5};
    if (count % 2 == 0) arguments[3] = c10::IValue();
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  });
}

// Refusals of targeted_dropout and of its mask.
std::vector<Refusal> refused_dropouts(const Values& more) {
  const Tensor draws = uniform({2, 3}, 1);
  std::vector<Refusal> refusals = {
      {{kSmall, 7, false, draws, 0.5}, "targeted_dropout: expected candidates in [0, 6], got 7"},
      {{kSmall, 4, true, draws, 0.5}, "targeted_dropout: expected candidates in [0, 3], got 4"},
      {{kInts, 1, false, draws, 0.5}, std::string("targeted_dropout: expected weight") + kNoDtype},
      {{kSmall.flatten(), 1, false, draws, 0.5},
       "targeted_dropout: expected weight of shape [out, ...], got [6]"},
      {{kSmall, 1, false, draws, 1.5}, "targeted_dropout: expected drop_rate in [0, 1], got 1.5"},
      {{kSmall, 1, false, draws.t(), 0.5},
       "targeted_dropout: expected draws of shape [2, 3], got [3, 2]"},
      {{kSmall, 1, false, kInts, 0.5}, std::string("targeted_dropout: expected draws") + kNoDtype},
      {{kSmall, 1, false, kElsewhere, 0.5},
       "targeted_dropout: expected draws on cpu, got meta",
       false},
      {{kWithNan, 1, true, draws, 0.5},
       "targeted_dropout: expected weight without NaN, got NaN in row 0, column 1",
       false}};
  for (Refusal& refusal : refusals) {
    refusal.arguments.insert(refusal.arguments.end(), more.begin(), more.end());
  }
  return refusals;
}

Op targeted_dropout_row(bool per_row, bool keep_sign) {
  Op op{.name = "targeted_dropout", .gradient = Gradient::kStraightThrough};
  op.reference = [](const Values& a) -> Values {
    const Tensor weight = a[0].toTensor();
    return {at::where(left(a), a[5].toBool() ? weight : weight.abs(), 0)};
  };
  op.samples = dropouts(per_row, {keep_sign});
  op.refusals = refused_dropouts({keep_sign});
  return op;
}

Op targeted_dropout_mask_row(bool per_row) {
  Op op{.name = "targeted_dropout_mask"};
  op.reference = [](const Values& a) -> Values { return {left(a)}; };
  op.samples = dropouts(per_row, {});
  op.refusals = refused_dropouts({});
  return op;
}

Op targeted_dropout_backward_row() {
  Op op{.name = "targeted_dropout_backward", .gradient = Gradient::kDerivative};
  op.launches_kernels = false;
  op.reference = [](const Values& a) -> Values {
    const Tensor grad = a[0].toTensor();
    return {at::where(a[2].toTensor(), a[3].toBool() ? grad : grad * a[1].toTensor().sign(), 0)};
  };
  const Tensor mask = drawn({7, 13}, 3) > 0;
  const Tensor none = at::zeros({0, 4}, at::kDouble);
  op.samples = {{"with its sign", {drawn({7, 13}, 1), drawn({7, 13}, 2), mask, true}},
                {"without", {drawn({7, 13}, 1), drawn({7, 13}, 2), mask, false}},
                {"empty", {none, none, none > 0, false}}};
  const std::string name = "targeted_dropout_backward: expected ";
  op.refusals = {
      {{kInts, kSmall, kMask, true}, name + "grad_output" + kNoDtype},
      {{kSmall, kSmall.t(), kMask, true}, name + "weight of shape [2, 3], got [3, 2]"},
      {{kSmall, kSmall.to(at::kFloat), kMask, true}, name + "weight of dtype Double, got Float"},
      {{kSmall, kSmall, kSmall, true}, name + "mask of dtype Bool, got Double"},
      {{kSmall, kElsewhere, kMask, true}, name + "weight on cpu, got meta", false}};
  return op;
}

Op random_mask_row() {
  Op op{.name = "random_mask"};
  op.reference = [](const Values& a) -> Values {
    Tensor draws = a[0].toTensor();
    if (!a[2].isNone()) draws = draws.masked_fill(a[2].toTensor(), 0);
    return {strongest(draws, draws.numel() - a[1].toInt()) & (draws > 0)};
  };
  op.samples = for_each_weight([](const Tensor& weight, int64_t prune) -> Values {
    const Tensor impossible = drawn(weight.sizes(), 12) > 0.5;
    return {weight.abs(), prune, prune % 2 == 0 ? c10::IValue() : c10::IValue(impossible)};
  });
  op.refusals = {
      {{kSmall.abs(), 7}, "random_mask: expected prune in [0, 6], got 7"},
      {{kInts, 1}, std::string("random_mask: expected draws") + kNoDtype},
      {{kSmall.abs(), 1, kSmall}, "random_mask: expected impossible of dtype Bool, got Double"},
      {{kSmall.abs(), 1, kMask.t()},
       "random_mask: expected impossible of shape [2, 3], got [3, 2]"},
      {{kSmall, 1}, "random_mask: expected draws of at least 0, got a negative one or NaN", false},
      {{kWithNan, 1},
       "random_mask: expected draws of at least 0, got a negative one or NaN",
       false}};
  return op;
}

std::vector<Op> every_op() {
  std::vector<Op> rows = {select_row(),
                          strongest_mask_row(),
                          keep_strongest_row("all"),
                          keep_strongest_row("kept"),
                          keep_strongest_backward_row(),
                          targeted_dropout_row(false, true),
                          targeted_dropout_row(true, false),
                          targeted_dropout_mask_row(false),
                          targeted_dropout_mask_row(true),
                          targeted_dropout_backward_row(),
                          random_mask_row()};
  for (const Op& op : wired_rows()) rows.push_back(op);
  for (const Op& op : blocks_rows()) rows.push_back(op);
  for (const Op& op : ode_rows()) rows.push_back(op);
  for (const Op& op : neuron_rows()) rows.push_back(op);
  return rows;
}

class EveryOp : public testing::TestWithParam<Op> {};

TEST_P(EveryOp, HasTheReferencesValues) { check_values(GetParam()); }
TEST_P(EveryOp, TakesAnyLayout) { check_layouts(GetParam()); }
TEST_P(EveryOp, HasTheReferencesGradients) { check_gradients(GetParam()); }
TEST_P(EveryOp, KnowsItsShapesOnMeta) { check_shapes(GetParam()); }
TEST_P(EveryOp, SaysWhatItRefuses) { check_refusals(GetParam()); }
TEST_P(EveryOp, IsPure) { check_purity(GetParam()); }
TEST_P(EveryOp, IsDeterministic) { check_determinism(GetParam()); }
TEST_P(EveryOp, IsTheSameOnEmulatedCuda) { check_emulated_cuda(GetParam()); }
TEST_P(EveryOp, IsTheSameOnCuda) { check_cuda(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Ops, EveryOp, testing::ValuesIn(every_op()), [](const auto& row) {
  return row.param.name + "_" + std::to_string(row.index);
});

TEST(EveryOp, HasARow) {
  // The state that these take only their forward can make: its row has their gradients; so has that
  // of a step, which computes its own anew.
  std::set<std::string> rows = {"rewire::wired_blocks_backward", "rewire::neuron_graph_backward",
                                "rewire::wired_ode_step_backward",
                                "rewire::sum_over_peers"};  // of processes: test_sum_over_peers.py
  for (const Op& op : every_op()) rows.insert("rewire::" + op.name);
  for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.name.starts_with("rewire::")) {
      EXPECT_EQ(rows.count(name.name), 1u) << name.name;
    }
  }
}

}  // namespace
