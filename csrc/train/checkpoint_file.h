// Files that survive kills and name their own damage: tensors by name, in a zip that torch.load
// reads too (weights_only=True), with a checksum over all of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

namespace rewire::train {

using TensorMap = std::map<std::string, at::Tensor>;

// Layout: the zip that torch.save would write of a dict, with an index.json of its tensors, from
// which alone they are read here (nothing is unpickled), and whose archive comment is
//   "rewire-checkpoint 1 size=<16 hex digits> crc32=<8 hex digits>"
// with the size and the CRC-32 of all bytes before the comment. The size of the whole file also
// stands near its beginning. Written to a temporary file beside `path`, flushed to the disk, then
// renamed: whenever the process dies, `path` holds the old content or the new one, whole. Throws
// Error (exit 1) with path and cause, `path` untouched.
void write_tensors(const std::filesystem::path& path, const TensorMap& tensors);

// Throws CheckpointError (exit 4) with the path and what is wrong: not there, not a file, cut (with
// the size expected and found), altered, or of another format version. Every byte is checked before
// any is interpreted.
TensorMap read_tensors(const std::filesystem::path& path);

// A text as a uint8 tensor, and back.
at::Tensor text_tensor(const std::string& text);
std::string tensor_text(const at::Tensor& tensor);

}  // namespace rewire::train
