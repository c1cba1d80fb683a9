// Files of a test, and what an action says when it refuses.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace rewire::test {

// A folder for one test's files, removed with its contents at the end.
class TempFolder {
 public:
  TempFolder() { std::filesystem::create_directories(path_); }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // Writes a file of this name and returns its path.
  std::filesystem::path write(const std::string& name, std::string_view bytes) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

 private:
  static std::string unique_name() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string("rewire_") + test->test_suite_name() + "_" + test->name() + "_" +
                       std::to_string(getpid());
    std::replace(name.begin(), name.end(), '/', '_');  // of tests with parameters
    return name;
  }
  const std::filesystem::path path_ = std::filesystem::temp_directory_path() / unique_name();
};

// The message of the Expected that `action` throws. A test failure and "" where it throws nothing.
template <typename Expected, typename Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const Expected& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace rewire::test
