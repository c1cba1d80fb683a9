#include <gtest/gtest.h>

#include "data/file.h"
#include "error.h"
#include "support/files.h"

namespace rewire::data {
namespace {

namespace fs = std::filesystem;
using test::message_of;

class WriteAtomically : public testing::Test {
 protected:
  const test::TempFolder folder_;
  const fs::path path_ = folder_.path() / "a.txt";
};

TEST_F(WriteAtomically, ReplacesTheOldContent) {
  write_atomically(path_, "old and long");
  write_atomically(path_, "new");
  EXPECT_EQ(read_file(path_, 100), "new");
  EXPECT_FALSE(fs::exists(path_.string() + ".tmp"));
}

TEST_F(WriteAtomically, AWriteThatFailsNamesThePathAndCleansUp) {
  const fs::path nowhere = folder_.path() / "absent" / "a.txt";
  EXPECT_EQ(message_of<Error>([&] { write_atomically(nowhere, "x"); }),
            nowhere.string() + ".tmp: cannot write: No such file or directory");
  fs::create_directories(path_ / "occupied");
  EXPECT_EQ(message_of<Error>([&] { write_atomically(path_, "x"); }),
            path_.string() + ": cannot replace: Is a directory");
  EXPECT_FALSE(fs::exists(path_.string() + ".tmp"));
}

TEST_F(WriteAtomically, AFullDiskIsTold) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  fs::create_symlink("/dev/full", path_.string() + ".tmp");
  EXPECT_EQ(message_of<Error>([&] { write_atomically(path_, "x"); }),
            path_.string() + ".tmp: cannot write: No space left on device");
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(WriteAtomically, AFileWithoutAFolderInItsPathIsWritten) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  write_atomically("plain", "content");
  fs::current_path(before);
  EXPECT_EQ(read_file(folder_.path() / "plain", 100), "content");
}

}  // namespace
}  // namespace rewire::data
