// Networks without their dead channels, and the published counts.
#include "models/fast_eval.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>

#include "graph/wired_blocks.h"
#include "models/profile.h"
#include "models/wiring.h"
#include "support/golden_network.h"

namespace {

using namespace rewire;
using at::Tensor;
using test::Golden;

// As the golden file has it: seed and prune rate are keys.
models::Model formula_model(const models::WiredMobileNetV1Description& description,
                            const data::ImageSpec& spec, const Golden& golden) {
  models::Model model = models::build(description, spec, 0);
  test::load_formula(model, golden, [&](const std::string& name, uint32_t seed) {
    for (const models::Wiring& wiring : model.wirings) {
      if (wiring.name + ".mask" != name) continue;
      const int64_t out = wiring.readable.size(0), in = wiring.readable.size(1);
      return test::formula_mask(name, seed, {out, in},
                                models::pruned_count(wiring.rule.prune_rate, out * in),
                                graph::impossible_edges(out, in, wiring.groups[0], wiring.outputs));
    }
    return Tensor();
  });
  return model;
}

class FastEvalGolden : public testing::TestWithParam<const char*> {};

TEST_P(FastEvalGolden, LosesDeadChannelsAndKeepsTheLogits) {
  const std::string name = GetParam();
  const Golden golden = test::load_golden("fast_eval_medium_" + name);
  models::WiredMobileNetV1Description description;
  description.small = golden.at("small").item<int64_t>() == 1;
  description.wiring = {.kind = name.substr(0, name.find('_')),
                        .prune_rate = golden.at("prune_rate").item<double>()};
  const data::ImageSpec spec{3, 32, std::vector<std::string>(10, "class")};
  models::Model model = formula_model(description, spec, golden);
  model.module.eval();
  for (size_t i = 0; i < 5; ++i) {
    const models::Alive alive = models::alive_channels(model, model.wirings[i]);
    const std::string stage = "." + std::to_string(i);
    EXPECT_TRUE(test::same(alive.inputs.to(at::kByte), golden.at("alive_inputs" + stage)));
    EXPECT_TRUE(test::same(alive.senders.to(at::kByte), golden.at("has_output" + stage)));
    EXPECT_TRUE(test::same(alive.outputs.to(at::kByte), golden.at("alive_outputs" + stage)));
  }

  const at::NoGradGuard no_grad;
  const Tensor input = test::formula_input(golden);
  for (const char* execution : {"sparse", "dense"}) {
    models::Model pruned = models::fast_eval(model, description, spec);
    models::set_execution(pruned, execution);
    EXPECT_TRUE(test::close(pruned.module.forward({input}).toTensor(),
                            golden.at("eval.logits_before"), 1e-5));
    EXPECT_TRUE(test::close(model.module.forward({input}).toTensor(),
                            golden.at("eval.logits_before"), 1e-5));
    EXPECT_LT(models::count_parameters(pruned), models::count_parameters(model));
    EXPECT_LE(models::count_macs(pruned), models::count_macs(model));
    const auto size = [&](const char* module) {
      return pruned.module.attr(module).toModule().attr("weight").toTensor().size(0);
    };
    if (golden.contains("conv1_out")) {
      EXPECT_EQ(size("conv1"), golden.at("conv1_out").item<int64_t>());
      EXPECT_EQ(size("bn"), golden.at("bn_channels").item<int64_t>());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, FastEvalGolden,
                         testing::Values("dnw", "dnw_dead", "dnw_small_dead", "random"));

TEST(FastEval, KeepsOneChannelOfAStageThatIsDead) {
  models::WiredMobileNetV1Description description;
  description.wiring = {.kind = "dnw", .prune_rate = 0.9999};
  const data::ImageSpec spec{1, 8, {"a", "b"}};
  for (const bool small : {false, true}) {
    description.small = small;
    torch::manual_seed(1);
    models::Model model = models::build(description, spec, 0);
    model.module.eval();
    {
      const at::NoGradGuard no_grad;  // so that dead channels are not 0 behind a norm
      for (const auto& [name, tensor] : script::named_tensors(model.module)) {
        if (name.ends_with("bias") || name.ends_with("running_mean")) tensor.uniform_(-1, 1);
      }
    }
    int64_t dead = 0;
    for (size_t i = 0; i < 5; ++i) {
      dead += !models::alive_channels(model, model.wirings[i]).inputs.any().item<bool>();
    }
    EXPECT_GT(dead, 0);
    models::Model pruned = models::fast_eval(model, description, spec);
    const Tensor image = torch::randn({3, 1, 8, 8});
    EXPECT_TRUE(test::close(pruned.module.forward({image}).toTensor(),
                            model.module.forward({image}).toTensor(), 1e-5));
  }
}

TEST(FastEval, FixesTheWiringOfEveryNetwork) {
  const data::ImageSpec spec{3, 32, {"a", "b"}};
  for (models::Description description : models::families()) {
    SCOPED_TRACE(models::kind_of(description));
    if (auto* small = std::get_if<models::SmallDescription>(&description)) {
      small->dim = 36;
      small->downsample_dim = 4;
      small->feature_dim = 8;
      small->wiring = {.kind = "td", .prune_rate = 0.5, .keep_sign = false};
    }
    if (auto* neurons = std::get_if<models::NeuronsDescription>(&description)) {
      neurons->groups = {{.name = "hidden", .neurons = 9, .activation = "tanh", .from = {"inputs"}},
                         {.name = "outputs", .neurons = 2, .from = {"inputs", "hidden"}}};
      neurons->wiring = {.kind = "td", .prune_rate = 0.5, .keep_sign = false};
    }
    models::Model model = models::build(description, spec, 0);
    model.module.eval();
    models::Model fixed = models::fast_eval(model, description, spec);
    const Tensor image = torch::randn({2, 3, 32, 32});
    EXPECT_TRUE(test::close(fixed.module.forward({image}).toTensor(),
                            model.module.forward({image}).toTensor(), 1e-5));
  }
}

// Golden files profiles.pt has one entry a configuration: seed, prune rate, counts.
TEST(Profile, IsThePublishedOne) {
  const Golden golden = test::load_golden("profiles");
  int compared = 0;
  for (const auto& [key, seed] : golden) {
    if (!key.ends_with(".seed")) continue;
    const std::string name = key.substr(0, key.size() - 5);
    SCOPED_TRACE(name);
    const auto about = golden.at(name + ".image_classes_small_random");
    const bool random = about[3].item<int64_t>() == 1;
    const double prune_rate = golden.at(name + ".prune_rate").item<double>();
    models::WiredMobileNetV1Description description;
    description.small = about[2].item<int64_t>() == 1;
    description.wiring = {.kind = random            ? "random"
                                  : prune_rate == 0 ? "complete"
                                                    : "dnw",
                          .prune_rate = prune_rate};
    // Counted as of images of 224 pixels, whatever size they are.
    const data::ImageSpec spec{3, 224, std::vector<std::string>(about[1].item<int64_t>(), "class")};
    Golden keys = {{"seed", seed}, {"running_var_mid_half", torch::tensor({1.0, 0.5})}};
    const models::Model model = formula_model(description, spec, keys);
    models::Cost total;
    for (const models::LayerProfile& layer : models::profile(model, description)) {
      total.parameters += layer.fast_eval.parameters;
      total.macs += layer.fast_eval.macs;
    }
    EXPECT_NEAR(double(total.macs), golden.at(name + ".macs_double").item<double>(), 1);
    EXPECT_NEAR(double(total.parameters), golden.at(name + ".params_double").item<double>(), 1);
    ++compared;
  }
  EXPECT_EQ(compared, 10);
}

}  // namespace
