#include "script/script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/golden.h"

namespace rewire::script {
namespace {

using testing::ElementsAre;

TEST(Expand, WritesRepetitionsOut) {
  EXPECT_EQ(expand("before\n"
                   "    # repeat i = 0 .. blocks - 1\n"
                   "    x = f($i, $i)\n"
                   "    y = g(self.a[$i])\n"
                   "    # end\n"
                   "after\n",
                   {{"blocks", 2}, {"others", 7}}),
            "before\n"
            "    x = f(0, 0)\n"
            "    y = g(self.a[0])\n"
            "    x = f(1, 1)\n"
            "    y = g(self.a[1])\n"
            "after\n");
}

TEST(Expand, TwoRepetitionsAndNone) {
  EXPECT_EQ(expand("# repeat i = 0 .. a - 1\n$i\n# end\n# repeat i = 0 .. b - 1\n$i\n# end\n",
                   {{"a", 0}, {"b", 12}}),
            "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n");
}

TEST(Expand, LeavesOtherCommentsAlone) {
  const std::string text = "# repeat the above\nx = 1  # repeat i = 0 .. n - 1\n";
  EXPECT_EQ(expand(text, {}), text);
}

TEST(Expand, RefusesAnUnknownCount) {
  EXPECT_THROW(expand("# repeat i = 0 .. absent - 1\n# end\n", {}), std::out_of_range);
}

// Multiplies by `factor` when called.
torch::jit::Module scaling(double factor) {
  torch::jit::Module module = new_module("Scale");
  module.register_parameter("factor", at::scalar_tensor(factor), false);
  module.define("def forward(self, x):\n    return x * self.factor\n");
  return module;
}

TEST(Define, AddsTheMethodsOfASource) {
  torch::jit::Module module = new_module("Sequential");
  for (int i = 0; i < 3; ++i) module.register_module(std::to_string(i), scaling(i + 2));
  define(module, "sequential", {{"children", 3}});
  EXPECT_TRUE(
      test::same(module.forward({at::ones({2})}).toTensor().detach(), at::full({2}, 24.0f)));
}

TEST(Define, KnowsTorchAndRewire) {
  torch::jit::Module complete = new_module("Wiring");
  complete.register_parameter("weight", at::zeros({2, 3}), false);
  define(complete, "wiring_complete");
  EXPECT_TRUE(test::same(complete.get_method("edges")({}).toTensor(), at::ones({2, 3}, at::kBool)));

  torch::jit::Module dnw = new_module("Wiring");
  dnw.register_parameter("weight", at::tensor({1.f, -3.f, 2.f}).view({1, 3}), false);
  dnw.register_attribute("keep", c10::IntType::get(), int64_t{2});
  dnw.register_attribute("gradient", c10::StringType::get(), std::string("all"));
  define(dnw, "wiring_dnw");
  EXPECT_TRUE(test::same(dnw.get_method("structure")({}).toTensorVector()[1],
                         at::tensor({1, 2}, at::kInt)));
}

TEST(Define, SurvivesSavingAndLoading) {
  torch::jit::Module module = new_module("Wiring");
  module.register_parameter("weight", at::zeros({2, 3}), false);
  define(module, "wiring_complete");
  std::stringstream stream;
  module.save(stream);
  torch::jit::Module loaded = torch::jit::load(stream);
  EXPECT_TRUE(test::same(loaded.get_method("edges")({}).toTensor(), at::ones({2, 3}, at::kBool)));
}

TEST(Define, RefusesAnUnknownSource) {
  torch::jit::Module module = new_module("Absent");
  EXPECT_THROW(define(module, "absent"), std::out_of_range);
}

TEST(NewModule, IsInTrainingMode) {
  torch::jit::Module module = new_module("Empty");
  EXPECT_TRUE(module.is_training());
  module.eval();
  EXPECT_FALSE(module.is_training());
}

// weight, child.weight, then the buffers count, child.mean.
torch::jit::Module nested() {
  torch::jit::Module child = new_module("Child"), module = new_module("Parent");
  module.register_buffer("count", at::zeros({}, at::kLong));
  module.register_parameter("weight", at::zeros({2, 3}), false);
  child.register_buffer("mean", at::zeros({4}));
  child.register_parameter("weight", at::zeros({1}), false);
  module.register_module("child", child);
  return module;
}

TEST(NamedTensors, ParametersThenBuffers) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : named_tensors(nested())) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("weight", "child.weight", "count", "child.mean"));
}

std::map<std::string, at::Tensor> fitting_state() {
  return {{"weight", at::ones({2, 3})},
          {"child.weight", at::ones({1})},
          {"count", at::ones({}, at::kLong)},
          {"child.mean", at::ones({4})}};
}

TEST(LoadState, CopiesEveryTensor) {
  torch::jit::Module module = nested();
  const auto before = named_tensors(module);
  EXPECT_TRUE(load_state(module, fitting_state()).empty());
  for (const auto& [name, tensor] : before) {  // in place: whoever holds one sees it
    EXPECT_TRUE(test::same(tensor.detach(), fitting_state().at(name))) << name;
  }
}

TEST(LoadState, ConvertsTypes) {
  torch::jit::Module module = nested();
  auto state = fitting_state();
  state["child.mean"] = at::full({4}, 0.5, at::kDouble);
  EXPECT_TRUE(load_state(module, state).empty());
  EXPECT_TRUE(
      test::same(module.attr("child").toModule().attr("mean").toTensor(), at::full({4}, 0.5f)));
}

TEST(LoadState, OfWhatDoesNotFitCopiesNothing) {
  torch::jit::Module module = nested();
  auto state = fitting_state();
  state["weight"] = at::ones({3, 2});
  state["child.weight"] = at::ones({});
  state.erase("count");
  state["other"] = at::ones({1});
  const Mismatch mismatch = load_state(module, state);
  EXPECT_THAT(mismatch.missing, ElementsAre("count"));
  EXPECT_THAT(mismatch.unexpected, ElementsAre("other"));
  EXPECT_THAT(mismatch.shapes, ElementsAre("child.weight: expected [1], got []",
                                           "weight: expected [2, 3], got [3, 2]"));
  EXPECT_EQ(mismatch.describe(),
            "missing: count; unexpected: other; mismatched: child.weight: expected [1], got [], "
            "weight: expected [2, 3], got [3, 2]");
  for (const auto& [name, tensor] : named_tensors(module)) {
    EXPECT_FALSE(tensor.detach().any().item<bool>()) << name;
  }
}

TEST(Mismatch, NamesOfAFileAreMadePrintable) {
  const Mismatch mismatch{.missing = {}, .unexpected = {"a\x1b[2J\nb"}, .shapes = {}};
  EXPECT_EQ(mismatch.describe(), "unexpected: a?[2J?b");
}

TEST(Mismatch, LongListsAreCut) {
  const Mismatch mismatch{
      .missing = {"a", "b", "c", "d", "e", "f", "g"}, .unexpected = {}, .shapes = {}};
  EXPECT_EQ(mismatch.describe(), "missing: a, b, c, d, e and 2 more");
  EXPECT_EQ(Mismatch().describe(), "");
}

}  // namespace
}  // namespace rewire::script
