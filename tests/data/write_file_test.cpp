#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <exception>
#include <string>
#include <vector>

#include "data/file.h"
#include "error.h"
#include "support/files.h"

namespace {
// The functions below stand before those of the C library.
std::vector<std::string> calls;  // what the code under test asked of the system, in order
std::deque<uint32_t> numbers;    // the random ones it gets next; chance where there are none
bool can_cut = true;             // whether files can be made shorter
}  // namespace

extern "C" int fsync(int file) {
  const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(file));
  calls.push_back("fsync " + path.string());
  return int(::syscall(SYS_fsync, file));
}
extern "C" int rename(const char* from, const char* to) {
  calls.push_back(std::string("rename ") + from + " " + to);
  return int(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
extern "C" ssize_t getrandom(void* bytes, size_t size, unsigned flags) {
  if (numbers.empty() || size != sizeof(uint32_t)) {
    return ::syscall(SYS_getrandom, bytes, size, flags);
  }
  std::memcpy(bytes, &numbers.front(), size);
  numbers.pop_front();
  return ssize_t(size);
}
extern "C" int ftruncate(int file, off_t size) noexcept {
  if (can_cut) return int(::syscall(SYS_ftruncate, file, size));
  errno = EPERM;
  return -1;
}

namespace rewire::data {
namespace {

namespace fs = std::filesystem;
using test::message_of;

// While it lives, no file grows beyond `bytes`: a disk that fills up in the middle of a write.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes, sighandler_t beyond = SIG_IGN)
      : handler_(std::signal(SIGXFSZ, beyond)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  sighandler_t handler_;
  rlimit old_{};
};

class WriteAtomically : public testing::Test {
 protected:
  int64_t files() const { return std::distance(fs::directory_iterator(folder_.path()), {}); }

  const test::TempFolder folder_;
  const fs::path path_ = folder_.path() / "a.txt";
};

TEST_F(WriteAtomically, ReplacesTheOldContent) {
  write_atomically(path_, "old and long");
  write_atomically(path_, "new");
  EXPECT_EQ(read_file(path_, 100), "new");
  EXPECT_EQ(files(), 1);
}

TEST_F(WriteAtomically, AWriteThatFailsNamesThePathAndCleansUp) {
  const fs::path nowhere = folder_.path() / "absent" / "a.txt";
  EXPECT_EQ(message_of<Error>([&] { write_atomically(nowhere, "x"); }),
            nowhere.string() + ": cannot be written: No such file or directory");
  fs::create_directories(path_ / "occupied");
  EXPECT_EQ(message_of<Error>([&] { write_atomically(path_, "x"); }),
            path_.string() + ": cannot be replaced: Is a directory");
  EXPECT_EQ(files(), 1);
}

TEST_F(WriteAtomically, AFullDiskLeavesTheOldContent) {
  write_atomically(path_, "old");
  const FileSizeLimit limit(10);
  EXPECT_EQ(message_of<Error>([&] { write_atomically(path_, "eleven byte"); }),
            path_.string() + ": cannot be written: File too large");
  EXPECT_EQ(read_file(path_, 100), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(WriteAtomically, TheContentIsOnTheDiskBeforeItsNameAndThenTheFolder) {
  calls.clear();
  numbers = {7};
  write_atomically(path_, "new");
  const std::string temporary = path_.string() + ".7.tmp";
  EXPECT_EQ(calls, (std::vector<std::string>{"fsync " + temporary,
                                             "rename " + temporary + " " + path_.string(),
                                             "fsync " + folder_.path().string()}));
}

TEST_F(WriteAtomically, TakesNoFileOrLinkThatLiesInItsWay) {
  const fs::path other = folder_.write("other.txt", "other");
  fs::create_symlink(other, path_.string() + ".7.tmp");
  folder_.write("a.txt.8.tmp", "another's");
  numbers = {7, 8, 9};
  calls.clear();
  write_atomically(path_, "new");
  EXPECT_EQ(calls.at(1), "rename " + path_.string() + ".9.tmp " + path_.string());
  EXPECT_EQ(read_file(path_, 100), "new");
  EXPECT_EQ(read_file(other, 100), "other");
  EXPECT_TRUE(fs::is_symlink(path_.string() + ".7.tmp"));
  EXPECT_EQ(read_file(path_.string() + ".8.tmp", 100), "another's");
}

TEST_F(WriteAtomically, ProcessesDoNotShareATemporaryFile) {
  const std::string ours(1 << 20, 'a'), theirs(1 << 20, 'b');
  const auto write = [&](const std::string& bytes) {
    for (int i = 0; i < 50; ++i) write_atomically(path_, bytes);
  };
  const pid_t child = fork();
  if (child == 0) {
    try {
      write(theirs);
    } catch (const std::exception&) {  // not for the copy of gtest in here
      _exit(1);
    }
    _exit(0);
  }
  write(ours);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  const std::string content = read_file(path_, 2 << 20);
  EXPECT_TRUE(content == ours || content == theirs);
}

TEST(IsTemporary, KnowsWhatAKilledWriteLeaves) {
  EXPECT_TRUE(is_temporary("run/checkpoints/last.pt.31.tmp"));
  for (const char* name : {"last.pt", "last.pt.31", "notes.tmp", "a.b.tmp", "a.3b.tmp", "a..tmp"}) {
    EXPECT_FALSE(is_temporary(name)) << name;
  }
}

TEST_F(WriteAtomically, NamesItsTemporaryFileSo) {
  const pid_t child = fork();
  if (child == 0) {
    const FileSizeLimit limit(10, SIG_DFL);  // kills in the middle of the write
    try {
      write_atomically(path_, "eleven byte");
    } catch (const std::exception&) {
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_EQ(files(), 1);
  EXPECT_TRUE(is_temporary(fs::directory_iterator(folder_.path())->path()));
}

class Append : public WriteAtomically {};

TEST_F(Append, MakesTheFileAndGoesOnAtItsEnd) {
  append(path_, "one,");
  append(path_, "two");
  EXPECT_EQ(read_file(path_, 100), "one,two");
}

TEST_F(Append, WritesAllOrNothing) {
  append(path_, "first,");
  {
    const FileSizeLimit limit(10);
    EXPECT_EQ(message_of<Error>([&] { append(path_, "second,"); }),
              path_.string() + ": cannot be written: File too large");
    EXPECT_EQ(read_file(path_, 100), "first,");
  }
  append(path_, "third");
  EXPECT_EQ(read_file(path_, 100), "first,third");
}

TEST_F(Append, SaysWhereAPartStays) {
  append(path_, "first,");
  const FileSizeLimit limit(10);
  can_cut = false;
  EXPECT_EQ(message_of<Error>([&] { append(path_, "second,"); }),
            path_.string() +
                ": cannot be written: File too large: a part may stay, the file cannot be cut: "
                "Operation not permitted");
  can_cut = true;
  EXPECT_EQ(read_file(path_, 100), "first,seco");
}

TEST_F(Append, NamesWhatIsMissing) {
  const fs::path nowhere = folder_.path() / "absent" / "a.txt";
  EXPECT_EQ(message_of<Error>([&] { append(nowhere, "x"); }),
            nowhere.string() + ": cannot be written: No such file or directory");
  EXPECT_EQ(message_of<Error>([&] { flush(nowhere); }),
            nowhere.string() + ": cannot be flushed: No such file or directory");
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
