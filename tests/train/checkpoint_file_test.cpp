#include "train/checkpoint_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <torch/torch.h>
#include <zlib.h>

#include <csignal>
#include <fstream>

#include "error.h"
#include "support/files.h"
#include "support/golden.h"

namespace rewire::train {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using testing::HasSubstr;

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A checkpoint whose last bytes, its mark, are made to fit what stands before them.
std::string sealed(std::string bytes) {
  constexpr size_t kMarkSize = 56;
  bytes.resize(bytes.size() - kMarkSize);
  const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  return bytes + fmt::format("rewire-checkpoint 1 size={:016x} crc32={:08x}", bytes.size(), crc);
}

class CheckpointFile : public testing::Test {
 protected:
  // Writes `bytes` over the checkpoint and returns what reading it says, without the path.
  std::string error_of(std::string_view bytes) {
    folder_.write("a.pt", bytes);
    return error_of_file(path_);
  }
  static std::string error_of_file(const fs::path& path) {
    const std::string message = message_of<CheckpointError>([&] { read_tensors(path); });
    const std::string prefix = path.string() + ": ";
    EXPECT_EQ(message.substr(0, prefix.size()), prefix);
    return message.substr(std::min(prefix.size(), message.size()));
  }
  std::string small_checkpoint() {
    write_tensors(path_, {{"w", at::arange(5)}, {"text", text_tensor("name: x\n")}});
    return bytes_of(path_);
  }

  const test::TempFolder folder_;
  const fs::path path_ = folder_.path() / "a.pt";
};

TEST_F(CheckpointFile, HoldsEveryTypeAndShape) {
  const at::Tensor values =
      at::tensor({-1.5, 0.0, 2.0, 100.0, 0.25, -0.0}, at::kDouble).view({2, 3});
  TensorMap tensors;
  for (const auto type : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kLong, at::kInt,
                          at::kShort, at::kChar, at::kBool, at::kComplexFloat}) {
    tensors[std::string("of ") + toString(type)] = values.to(type);
  }
  tensors["bytes"] = at::tensor({0, 255, 7}, at::kInt).to(at::kByte);
  tensors["scalar"] = at::scalar_tensor(3.25);
  tensors["empty"] = at::empty({0});
  tensors["empty of width 4"] = at::empty({0, 4}, at::kLong);
  tensors["transposed"] = values.t();
  tensors["expanded"] = at::scalar_tensor(2.0).expand({3, 2});
  tensors["part"] = at::arange(100).slice(0, 40, 45);
  tensors["with gradient"] = at::ones({2}).requires_grad_();
  tensors["not finite"] = at::tensor({NAN, INFINITY, -INFINITY});
  tensors["größe.0"] = at::ones({1});
  write_tensors(path_, tensors);
  const TensorMap read = read_tensors(path_);
  ASSERT_EQ(read.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    ASSERT_TRUE(read.contains(name)) << name;
    EXPECT_TRUE(test::same(read.at(name), tensor.detach())) << name;
    EXPECT_FALSE(read.at(name).requires_grad());
  }
}

TEST_F(CheckpointFile, MayHoldNothing) {
  write_tensors(path_, {});
  EXPECT_TRUE(read_tensors(path_).empty());
}

TEST_F(CheckpointFile, TextsSurvive) {
  const std::string text = std::string("a: ä\n\0\xFF", 8);
  EXPECT_EQ(tensor_text(text_tensor(text)), text);
  EXPECT_EQ(tensor_text(text_tensor("")), "");
}

TEST_F(CheckpointFile, TheSameTensorsGiveTheSameBytes) {
  const std::string bytes = small_checkpoint();
  EXPECT_EQ(small_checkpoint(), bytes);
  EXPECT_THAT(bytes, HasSubstr("rewire-checkpoint 1 size="));
}

TEST_F(CheckpointFile, EveryCutIsSeen) {
  const std::string bytes = small_checkpoint();
  const std::string expected = ", expected " + std::to_string(bytes.size());
  for (size_t size = bytes.size(); size-- > 0;) {
    fs::resize_file(path_, size);
    const std::string message = error_of_file(path_);
    if (size < 64) {  // the beginning, which tells the size, is cut itself
      EXPECT_EQ(message, "not a whole checkpoint of this program: " + std::to_string(size) +
                             " bytes that do not end with its mark (cut, or another kind of file)");
    } else {
      EXPECT_EQ(message, "cut or altered: " + std::to_string(size) + " bytes" + expected);
    }
  }
}

TEST_F(CheckpointFile, EveryFlippedBitIsSeen) {
  write_tensors(path_, {{"w", at::ones({1})}});
  const std::string bytes = bytes_of(path_);
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  const auto put = [&](size_t at, int byte) {
    file.seekp(std::streamoff(at)).put(char(byte)).flush();
  };
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      put(at, bytes[at] ^ (1 << bit));
      ASSERT_THROW(read_tensors(path_), CheckpointError) << "byte " << at << ", bit " << bit;
    }
    put(at, bytes[at]);
  }
  EXPECT_EQ(read_tensors(path_).size(), 1u);
}

TEST_F(CheckpointFile, DamageIsDescribed) {
  const std::string bytes = small_checkpoint();
  std::string flipped = bytes;
  flipped[100] = char(flipped[100] ^ 1);
  const std::string size = bytes.substr(bytes.size() - 36, 21);
  EXPECT_THAT(error_of(flipped), testing::MatchesRegex("damaged: recorded '" + size +
                                                       " crc32=[0-9a-f]+', "
                                                       "found '" +
                                                       size + " crc32=[0-9a-f]+'"));
  EXPECT_EQ(error_of(bytes + "x"), "cut or altered: " + std::to_string(bytes.size() + 1) +
                                       " bytes, expected " + std::to_string(bytes.size()));
}

TEST_F(CheckpointFile, RefusesAnotherVersion) {
  std::string bytes = small_checkpoint();
  const std::string mark = "rewire-checkpoint ";
  bytes.replace(bytes.rfind(mark) + mark.size(), 1, "7");
  EXPECT_EQ(error_of(bytes), "checkpoint of format version 7, expected 1");
}

TEST_F(CheckpointFile, RefusesWhatIsNoFile) {
  EXPECT_EQ(error_of_file(folder_.path() / "absent.pt"), "no such checkpoint");
  EXPECT_EQ(error_of_file(folder_.path()), "a folder, expected a checkpoint in it");
  folder_.write("checkpoints/last.pt", "");
  EXPECT_EQ(error_of_file(folder_.path()), "a folder, expected a checkpoint in it: " +
                                               (folder_.path() / "checkpoints/last.pt").string());
  ASSERT_EQ(mkfifo((folder_.path() / "fifo.pt").c_str(), 0600), 0);
  EXPECT_EQ(error_of_file(folder_.path() / "fifo.pt"), "not a file");
  EXPECT_EQ(error_of_file("/dev/zero"), "not a file");
}

TEST_F(CheckpointFile, RefusesOtherFiles) {
  EXPECT_THAT(error_of(""), testing::StartsWith("not a whole checkpoint of this program: 0 bytes"));
  EXPECT_THAT(error_of(std::string(200, 'x')),
              testing::StartsWith("not a whole checkpoint of this program: 200 bytes"));
  const std::vector<char> plain = torch::pickle_save(at::ones({2}));
  EXPECT_THAT(error_of({plain.data(), plain.size()}),
              testing::StartsWith("not a whole checkpoint of this program: "));
}

TEST_F(CheckpointFile, RefusesNamesThatTakeMoreMemoryThanTheFile) {
  write_tensors(
      path_,
      {{"a", at::ones({1000})}, {"b", at::ones({1000})}, {std::string(500, 'c'), at::ones({9})}});
  std::string bytes = bytes_of(path_);
  const size_t begin = bytes.find("{\"a\""), size = bytes.find("]}", begin) + 2 - begin;
  std::string index;
  for (char name = 'a'; name <= 'j'; ++name) {
    index += fmt::format("{}\"{}\":[\"Float\",[1000],0]", name == 'a' ? "{" : ",", name);
  }
  index += "}";
  ASSERT_LE(index.size(), size);
  bytes.replace(begin, size, index + std::string(size - index.size(), ' '));
  EXPECT_THAT(error_of(sealed(bytes)), testing::StartsWith("not a dict of tensors"));
}

TEST_F(CheckpointFile, ErrorsEndWithStatusFour) {
  try {
    read_tensors("absent.pt");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_status(), 4);
  }
}

TEST_F(CheckpointFile, ReplacesTheOldOneAndLeavesNothingElse) {
  write_tensors(path_, {{"w", at::zeros({3})}});
  write_tensors(path_, {{"w", at::ones({3})}});
  EXPECT_TRUE(test::same(read_tensors(path_).at("w"), at::ones({3})));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(CheckpointFile, AWriteThatFailsLeavesTheOldOne) {
  write_tensors(path_, {{"w", at::zeros({3})}});
  // No file grows beyond 100 bytes: a disk that is full.
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit limit{100, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_EQ(message_of<Error>([&] {
              write_tensors(path_, {{"w", at::ones({3})}});
            }),
            path_.string() + ": cannot be written: File too large");
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(test::same(read_tensors(path_).at("w"), at::zeros({3})));
}

}  // namespace
}  // namespace rewire::train
