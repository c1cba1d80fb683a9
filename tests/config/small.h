// A small experiment that the tests of this folder bend.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/experiment.h"
#include "error.h"
#include "support/files.h"

namespace rewire::config {

inline const std::string kSmall = R"(name: small
data:
  kind: digits
  normalize: {mean: [0.3], std: [0.4]}
model:
  kind: static
  dim: 32
  downsample_dim: 8
  feature_dim: 6
  wiring: {kind: dnw, prune_rate: 0.9}
  pool: global
training:
  epochs: 3
  batch_size: 64
  optimizer: {kind: sgd, lr: 0.1}
)";

// kSmall with its one `from` replaced.
inline std::string small_with(const std::string& from, const std::string& to) {
  std::string text = kSmall;
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << "no '" << from << "' in the small experiment";
  return text.replace(at, from.size(), to);
}

// The experiment of a text called x.yaml, and what it is refused with.
inline Experiment read_text(const std::string& text,
                            const std::vector<std::string>& overrides = {}) {
  return parse(text, "x.yaml", overrides);
}
inline std::string error_of(const std::string& text,
                            const std::vector<std::string>& overrides = {}) {
  return test::message_of<ConfigError>([&] { read_text(text, overrides); });
}

}  // namespace rewire::config
