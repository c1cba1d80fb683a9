#include "train/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error.h"
#include "support/files.h"

namespace rewire::train {
namespace {

namespace fs = std::filesystem;
using test::message_of;

class RunFolderTest : public testing::Test {
 protected:
  void touch(const fs::path& file, int hours_ago) {
    folder_.write(fs::relative(file, folder_.path()), "x");
    fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(hours_ago));
  }
  const test::TempFolder folder_;
  const fs::path root_ = folder_.path() / "runs" / "a";
};

TEST_F(RunFolderTest, MakesItselfWithAllAbove) {
  const RunFolder folder(root_);
  EXPECT_TRUE(fs::is_directory(root_ / "checkpoints"));
  EXPECT_EQ(folder.checkpoint("last"), root_ / "checkpoints" / "last.pt");
  EXPECT_TRUE(folder.checkpoints().empty());
}

TEST_F(RunFolderTest, LeavesNothingOfATrainingThatNeverBegan) {
  { const RunFolder folder(root_); }
  EXPECT_FALSE(fs::exists(root_));
  fs::create_directories(root_);  // somebody else's, if empty
  { const RunFolder folder(root_); }
  EXPECT_TRUE(fs::exists(root_));
  fs::remove_all(root_);
  {
    const RunFolder folder(root_);
    touch(folder.checkpoint("init"), 0);
  }
  EXPECT_TRUE(fs::exists(root_ / "checkpoints" / "init.pt"));
}

TEST_F(RunFolderTest, RefusesASecondOwner) {
  {
    const RunFolder first(root_);
    EXPECT_EQ(message_of<ConfigError>([&] { const RunFolder second(root_); }),
              root_.string() + ": in use by another run; name another --output");
    EXPECT_NO_THROW(RunFolder(folder_.path() / "runs" / "b"));
  }
  EXPECT_NO_THROW(const RunFolder third(root_));
}

TEST_F(RunFolderTest, SaysWhyItCannotBeMade) {
  folder_.write("file", "");
  EXPECT_EQ(message_of<Error>([&] { const RunFolder folder(folder_.path() / "file" / "run"); }),
            (folder_.path() / "file" / "run").string() + ": cannot be made: Not a directory");
}

TEST_F(RunFolderTest, GoesOnFromTheLastCheckpointThenTheNewest) {
  const RunFolder folder(root_);
  touch(folder.checkpoint("init"), 9);
  touch(folder.checkpoint("last"), 5);
  touch(folder.checkpoint("epoch_1"), 4);
  touch(folder.checkpoint("best"), 3);
  touch(root_ / "checkpoints" / "last.pt.77.tmp", 0);
  EXPECT_THAT(folder.checkpoints(),
              testing::ElementsAre(folder.checkpoint("last"), folder.checkpoint("best"),
                                   folder.checkpoint("epoch_1"), folder.checkpoint("init")));
}

TEST_F(RunFolderTest, ClearsWhatATrainingLeftAndNothingElse) {
  RunFolder folder(root_);
  for (const char* name : {"last", "best", "epoch_3"}) touch(folder.checkpoint(name), 0);
  touch(folder.metrics(), 0);
  touch(folder.wiring() / "graph_epoch_0.png", 0);
  touch(root_ / "events.out.tfevents.1.host", 0);
  touch(root_ / "notes.txt", 0);
  folder.clear();
  EXPECT_TRUE(folder.checkpoints().empty());
  EXPECT_FALSE(fs::exists(folder.metrics()));
  EXPECT_FALSE(fs::exists(folder.wiring()));
  EXPECT_FALSE(fs::exists(root_ / "events.out.tfevents.1.host"));
  EXPECT_TRUE(fs::exists(root_ / "notes.txt"));
}

TEST_F(RunFolderTest, LeavesOthersFilesAmongThePictures) {
  RunFolder folder(root_);
  touch(folder.wiring() / "graph_epoch_0.png", 0);
  touch(folder.wiring() / "notes.txt", 0);
  folder.clear();
  EXPECT_FALSE(fs::exists(folder.wiring() / "graph_epoch_0.png"));
  EXPECT_TRUE(fs::exists(folder.wiring() / "notes.txt"));
}

TEST_F(RunFolderTest, RemovesWhatAKilledWriteLeft) {
  { const RunFolder folder(root_); }
  const auto leftovers = {root_ / "config.yaml.5.tmp", root_ / "checkpoints" / "last.pt.77.tmp",
                          root_ / "wiring" / "graph_epoch_0.png.8.tmp"};
  for (const fs::path& file : leftovers) touch(file, 0);
  touch(root_ / "notes.tmp", 0);
  const RunFolder folder(root_);
  for (const fs::path& file : leftovers) EXPECT_FALSE(fs::exists(file)) << file;
  EXPECT_TRUE(fs::exists(root_ / "notes.tmp"));
}

TEST_F(RunFolderTest, IsMadeAgainAndLockedWhereItWasRemoved) {
  RunFolder folder(root_);
  EXPECT_FALSE(folder.make_again());
  fs::remove_all(root_);
  EXPECT_TRUE(folder.make_again());
  EXPECT_FALSE(folder.make_again());
  EXPECT_TRUE(fs::is_directory(root_ / "checkpoints"));
  EXPECT_EQ(message_of<ConfigError>([&] { const RunFolder second(root_); }),
            root_.string() + ": in use by another run; name another --output");
  fs::remove_all(root_ / "checkpoints");  // and the lock stays
  EXPECT_TRUE(folder.make_again());
}

TEST_F(RunFolderTest, IsNotTakenFromARunThatMadeItMeanwhile) {
  RunFolder folder(root_);
  fs::remove_all(root_);
  const RunFolder other(root_);
  fs::remove_all(root_ / "checkpoints");
  EXPECT_EQ(message_of<ConfigError>([&] { folder.make_again(); }),
            root_.string() + ": in use by another run; name another --output");
}

TEST_F(RunFolderTest, AFolderOfWhichOnlyTheLockIsLeftIsOurs) {
  touch(root_ / ".lock", 0);
  EXPECT_NO_THROW(const RunFolder folder(root_));
}

TEST_F(RunFolderTest, RefusesAFolderOfOtherThings) {
  touch(root_ / "metrics.jsonl", 0);
  EXPECT_EQ(message_of<ConfigError>([&] { const RunFolder folder(root_); }),
            root_.string() + ": not an experiment's folder; name another --output");
  EXPECT_TRUE(fs::exists(root_ / "metrics.jsonl"));
  EXPECT_FALSE(fs::exists(root_ / "checkpoints"));
}

}  // namespace
}  // namespace rewire::train
