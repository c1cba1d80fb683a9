#include "train/forward.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "error.h"
#include "support/files.h"
#include "support/golden.h"

namespace rewire::train {
namespace {

using at::Tensor;
using test::message_of;

constexpr double kLoss = 1e-5, kGradient = 1e-5;

class ForwardTest : public testing::Test {
 protected:
  models::Model build(const std::string& kind) {
    const models::SmallDescription small{.dim = 20,
                                         .layers = 3,
                                         .downsample_dim = 4,
                                         .feature_dim = 6,
                                         .stem = "single",
                                         .pool = "global",
                                         .wiring = {.kind = kind, .prune_rate = 0.5}};
    return models::build(small, data::image_spec({.kind = "digits"}), 0);
  }
  // The last element: the network reads it.
  static void spoil(models::Model& model, const std::string& name, double value) {
    const at::NoGradGuard no_grad;
    for (const auto& [own, tensor] : script::named_tensors(model.module)) {
      if (own == name) tensor.view(-1)[-1].fill_(value);
    }
  }
  std::string error_of(models::Model& model) {
    return message_of<NumberError>([&] { forward(model, images_, labels_, {}, "here"); });
  }

  Tensor images_ = at::ones({2, 1, 8, 8});
  Tensor labels_ = at::tensor({1, 2}, at::kLong);
};

TEST_F(ForwardTest, GivesTheMeanLoss) {
  models::Model model = build("dnw");
  const Forward answer = forward(model, images_, labels_, {}, "here");
  const Tensor expected = -answer.logits.log_softmax(1).gather(1, labels_.view({2, 1})).mean();
  EXPECT_TRUE(test::close(answer.loss.detach(), expected.detach(), 1e-6));
  EXPECT_EQ(answer.value, answer.loss.item<double>());
}

TEST_F(ForwardTest, NamesTheCulprit) {
  for (const char* wiring : {"complete", "dnw"}) {
    models::Model model = build(wiring);
    spoil(model, "graph.weight", NAN);
    EXPECT_EQ(error_of(model), "graph.weight is not finite: here");
    model = build(wiring);
    spoil(model, "fc.bias", INFINITY);
    EXPECT_EQ(error_of(model), "fc.bias is not finite: here");
    model = build(wiring);
    images_.view(-1)[3].fill_(NAN);
    EXPECT_EQ(error_of(model), "input is not finite: here");
    images_.fill_(1);
    model = build(wiring);
    spoil(model, "fc.bias", 3e38);
    const at::NoGradGuard no_grad;  // a label's class gets the opposite: finite, yet too far apart
    model.module.attr("fc").toModule().attr("bias").toTensor()[1].fill_(-3e38);
    EXPECT_EQ(error_of(model), "the loss is not finite: here");
  }
}

// A network whose logits are its parameter.
models::Model answering(const Tensor& logits) {
  torch::jit::Module module("Answering");
  module.register_parameter("logits", logits.clone().requires_grad_(), false);
  module.define("def forward(self, x: Tensor) -> Tensor:\n    return self.logits\n");
  return {module, {}, {}};
}

TEST(Loss, IsThePublishedOne) {
  const test::Golden golden = test::load_golden("resnet_losses");
  const double smoothing = golden.at("smoothing").item<double>();
  const auto expect = [&](const Tensor& targets, double smoothed, const std::string& loss,
                          const std::string& gradient) {
    SCOPED_TRACE(loss);
    models::Model model = answering(golden.at("logits"));
    const Forward answer =
        forward(model, at::ones({6, 1}), targets, {.label_smoothing = smoothed}, "here");
    EXPECT_TRUE(test::close(answer.loss.detach(), golden.at(loss), kLoss));
    if (gradient.empty()) return;
    answer.loss.backward();
    EXPECT_TRUE(
        test::close(model.module.attr("logits").toTensor().grad(), golden.at(gradient), kGradient));
  };
  expect(golden.at("labels"), smoothing, "label_smoothing.loss", "label_smoothing.grad_logits");
  expect(golden.at("mixup.target"), smoothing, "mixup.loss_train", "mixup.grad_logits");
  expect(golden.at("labels"), 0, "mixup.loss_eval", "");
}

TEST(Loss, OfNumbersIsTheOneNamed) {
  const Tensor answers = at::tensor({0.5f, 3.0f}).view({1, 2}), targets = at::zeros({1, 2});
  const auto loss = [&](const std::string& name) {
    models::Model model = answering(answers);
    return forward(model, at::ones({1, 1}), targets, {.loss = name}, "here").value;
  };
  EXPECT_DOUBLE_EQ(loss("mse"), (0.25 + 9) / 2);
  EXPECT_DOUBLE_EQ(loss("l1"), 3.5 / 2);
  EXPECT_DOUBLE_EQ(loss("huber"), (0.125 + 2.5) / 2);
}

// Of wired and plain networks: in bfloat16 an answer differs, a little; parameters, gradients and
// the loss keep their type, and so does what torch computes afterwards.
TEST(Precision, LowersTheAnswersAlone) {
  torch::manual_seed(2);
  // Small ones: processors without arithmetic in bfloat16 take a hundred times as long with it.
  const data::ImageSpec spec{3, 16, {"a", "b", "c"}};
  const Tensor images = torch::randn({2, 3, 16, 16}), labels = torch::tensor({0, 2});
  const std::vector<models::Description> descriptions = {
      models::SmallDescription(), models::MobileNetV1Description{.width = 0.1}};
  for (models::Description description : descriptions) {
    SCOPED_TRACE(models::kind_of(description));
    std::visit(
        [](auto& family) {
          if constexpr (requires { family.dim; }) {
            family.dim = 36;
            family.downsample_dim = 4;
            family.feature_dim = 8;
          }
          if constexpr (requires { family.wiring; }) {
            family.wiring = {.kind = "dnw", .prune_rate = 0.5};
          }
        },
        description);
    for (const char* execution : {"sparse", "dense"}) {
      models::Model model = models::build(description, spec, 1);
      models::set_execution(model, execution);
      const auto answer = [&](const std::string& precision) {
        model.module.eval();
        return forward(model, images, labels, {precision}, "here").logits.detach();
      };
      const Tensor single = answer("float32"), lower = answer("bfloat16");
      EXPECT_FALSE(at::equal(lower, single));
      EXPECT_TRUE(test::close(lower, single, 0.05));
      EXPECT_TRUE(test::same(answer("float32"), single));
      model.module.train();
      const Forward trained = forward(model, images, labels, {"bfloat16"}, "here");
      EXPECT_EQ(trained.loss.scalar_type(), at::kFloat);
      trained.loss.backward();
      for (const auto& item : model.module.named_parameters()) {
        EXPECT_EQ(item.value.scalar_type(), at::kFloat) << item.name;
        EXPECT_EQ(item.value.grad().scalar_type(), at::kFloat) << item.name;
        EXPECT_TRUE(item.value.grad().isfinite().all().item<bool>()) << item.name;
      }
    }
  }
}

}  // namespace
}  // namespace rewire::train
