// A zip in memory, for LibTorch's reader of zips.
#pragma once

#include <caffe2/serialize/read_adapter_interface.h>

#include <algorithm>
#include <string_view>

namespace rewire::train {

// Of bytes that outlive it.
class BytesReader : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit BytesReader(std::string_view bytes) : bytes_(bytes) {}
  size_t size() const override { return bytes_.size(); }
  size_t read(uint64_t at, void* out, size_t size, const char*) const override {
    return bytes_.copy(static_cast<char*>(out), size, std::min<uint64_t>(at, bytes_.size()));
  }

 private:
  std::string_view bytes_;
};

}  // namespace rewire::train
