// Files of torch.save, zip or of the format before torch 1.6, read without executing anything.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "train/pickle.h"

namespace rewire::train {

class TorchFile {
 public:
  // Throws CheckpointError, "<path>: <cause>": no such file, of neither format, cut, or a pickle
  // that is not accepted (pickle.h). Memory: that of the file, and of at most a million values.
  explicit TorchFile(const std::filesystem::path& path);

  TorchFile(const TorchFile&) = delete;  // views of its own bytes
  TorchFile& operator=(const TorchFile&) = delete;

  const Value& root() const { return *pickle_.root; }

  // Of a tensor's description; throws CheckpointError where a size is negative or their product
  // does not fit.
  std::vector<int64_t> sizes(const Value& tensor) const;
  // A copy, contiguous. Every size, offset and stride is checked against the storage. A view can
  // have more elements than its storage: check `sizes` first.
  at::Tensor tensor(const Value& tensor) const;

 private:
  [[noreturn]] void fail(const std::string& cause) const;
  void read_zip();
  void read_legacy();
  std::string_view storage(const Value& storage) const;

  std::string name_;
  std::string bytes_;
  Pickle pickle_;
  std::map<std::string, std::string> records_;        // zip: those that were unpacked, by key
  std::map<std::string, std::string_view> storages_;  // by key
};

}  // namespace rewire::train
