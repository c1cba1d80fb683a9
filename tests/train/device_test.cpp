#include "train/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error.h"
#include "ops/gpu.h"
#include "support/files.h"

namespace rewire::train {
namespace {

using test::message_of;
using testing::StartsWith;

std::string refusal(const std::string& name) {
  return message_of<ConfigError>([&] { device_named(name); });
}

TEST(Device, IsFoundByItsName) {
  EXPECT_EQ(device_named("cpu"), at::kCPU);
  const bool usable = ops::has_cuda_kernels() && ops::load_gpu().empty();
  EXPECT_EQ(device_named("auto").is_cpu(), !usable);
  EXPECT_THAT(refusal("cuda:99"), StartsWith("--device cuda:99: "));
  if (usable) {
    EXPECT_EQ(device_named("cuda").index(), 0);
  } else {
    EXPECT_THAT(refusal("cuda"), StartsWith("--device cuda: "));
  }
}

TEST(Device, IsOneOfTheNamesThatThereAre) {
  for (const std::string name : {"", "tpu", "CPU", "cpu:0", "cuda:", "cuda:x", "cuda:1x", "cuda:-1",
                                 "cudax1", "cuda:99999999999"}) {
    EXPECT_EQ(refusal(name), "--device: expected auto, cpu, cuda or cuda:N, got '" + name + "'");
  }
}

}  // namespace
}  // namespace rewire::train
