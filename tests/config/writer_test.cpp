#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <clocale>
#include <locale>

#include "config/small.h"

namespace rewire::config {
namespace {

// What an experiment loses on its way through a file shows in the second one.
void expect_round_trip(const Experiment& experiment) {
  const std::string text = to_yaml(experiment);
  EXPECT_EQ(to_yaml(read_text(text)), text);
}

TEST(Writer, WritesEveryKeyOut) {
  EXPECT_EQ(to_yaml(read_text(kSmall, {"data.augment=[{kind: random_crop, padding: 2}]"})),
            R"(name: small
seed: 0
execution: auto
data:
  kind: digits
  augment:
    - kind: random_crop
      padding: 2
  normalize:
    mean: [0.3]
    std: [0.4]
  workers: 1
model:
  kind: static
  dim: 32
  layers: 5
  downsample_dim: 8
  feature_dim: 6
  stem: strided
  pool: global
  wiring:
    kind: dnw
    prune_rate: 0.9
    gradient: all
training:
  epochs: 3
  batch_size: 64
  test_batch_size: 0
  drop_last: false
  sync_batchnorm: false
  accumulate: 1
  precision: float32
  loss: cross_entropy
  label_smoothing: 0
  mixup: 0
  optimizer:
    kind: sgd
    lr: 0.1
    weight_decay: 0
    no_decay: []
    momentum: 0
    nesterov: false
  schedule:
    kind: constant
    warmup_epochs: 0
  topk: [1, 5]
  save_every: 0
  keep_every: 0
  pictures: false
)");
}

TEST(Writer, WhatItWritesReadsBack) {
  expect_round_trip(read_text(kSmall));
  for (const std::string optimizer :
       {"{kind: sgd, lr: 1e-30, momentum: 0.9, nesterov: true}",
        "{kind: adam, lr: 0.1, betas: [0.8, 0.99], eps: 1e-12}", "{kind: adamw, lr: 123456.789}"}) {
    expect_round_trip(read_text(kSmall, {"training.optimizer=" + optimizer}));
  }
  for (const std::string schedule :
       {"{kind: multistep, milestones: [1, 2], gamma: 0.5}", "{kind: cosine, per: epoch}",
        "{kind: exponential, gamma: 0.97}", "{kind: linear, warmup_epochs: 2}"}) {
    expect_round_trip(read_text(kSmall, {"training.schedule=" + schedule}));
  }
  for (const std::string wiring :
       {"{kind: complete, prune_rate: 0}", "{kind: td, rho: 0.25}",
        "{kind: reg_td, keep_sign: false}", "{kind: dnw, gradient: kept}",
        "{kind: dnw, gradient: {candidates: 0.1}}"}) {
    expect_round_trip(read_text(kSmall, {"model.wiring=" + wiring}));
  }
  expect_round_trip(read_text(kSmall, {"expect={top1: 80.9, within: 0.6, source: 'a: b # c'}"}));
  expect_round_trip(read_text(kSmall, {"data.root=some/folder"}));
  for (const std::string step : {"", "{kind: random_resized_crop, scale: [0.1, 0.5]}, ",
                                 "{kind: random_resized_crop, size: 160, ratio: [1, 1]}, "}) {
    expect_round_trip(read_text(
        kSmall,
        {"data={kind: imagefolder, root: a, classes: 5, image_size: 160, val_resize: 192, "
         "on_bad_image: skip, augment: [" +
         step + "{kind: horizontal_flip}], normalize: {mean: [0, 0, 0], std: [1, 1, 1]}}"}));
  }
  expect_round_trip(read_text(kSmall, {"model={kind: shufflenet_v2, width: 1.5}"}));
  expect_round_trip(
      read_text(kSmall, {"training.drop_last=true", "training.accumulate=4",
                         "training.precision=bfloat16", "training.label_smoothing=0.1",
                         "training.mixup=0.2", "training.optimizer.no_decay=[bn, 'a, b']"}));
  expect_round_trip(
      read_text(kSmall, {"model={kind: resnet, depth: 101, dense_first: true, init: fan_out, "
                         "wiring: {kind: dnw, prune_rate: 0.9}}"}));
}

TEST(Writer, NumbersKeepEveryBit) {
  for (const std::string number :
       {"0.1", "0.30000000000000004", "1e-300", "5e-324", "123456.78901234567"}) {
    const Experiment experiment = read_text(kSmall, {"training.optimizer.lr=" + number});
    EXPECT_EQ(read_text(to_yaml(experiment)).training.optimizer.lr,
              experiment.training.optimizer.lr);
  }
}

TEST(Writer, StringsThatLookLikeSomethingElseReadBack) {
  for (const std::string name :
       {"12", "true",   "null",     "~",    "- a", "a: b", "#",  "'", "\"", "{",
        "<<", "Müller", " padded ", "a  b", "!x",  "&x",   "*x", "%", "@",  "0.1"}) {
    Experiment experiment = read_text(kSmall);
    experiment.name = name;
    EXPECT_EQ(read_text(to_yaml(experiment)).name, name);
  }
}

TEST(Writer, NumbersDoNotFollowTheLocale) {
  // A locale with a comma, whether the machine has one installed or not.
  struct Comma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  const std::string expected = to_yaml(read_text(kSmall, {"seed=1234567"}));
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Comma));
  const bool c_locale = std::setlocale(LC_NUMERIC, "de_DE.UTF-8") != nullptr;
  const std::string text = to_yaml(read_text(kSmall, {"seed=1234567"}));
  if (c_locale) std::setlocale(LC_NUMERIC, "C");
  std::locale::global(before);
  EXPECT_EQ(text, expected);
}

}  // namespace
}  // namespace rewire::config
