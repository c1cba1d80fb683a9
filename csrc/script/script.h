// TorchScript source and parameters to a jit::Module.
#pragma once

#include <torch/script.h>

#include <map>
#include <string>
#include <vector>

namespace rewire::script {

// Numbers that a source's repetitions run to, by name.
using Counts = std::map<std::string, int64_t>;

// A module without methods, in training mode.
torch::jit::Module new_module(const std::string& name);

// Adds the methods of the embedded file torchscript/<source>.py to `module`, whose attributes and
// children must be there already. TorchScript cannot loop over children, so lines between
//     # repeat i = 0 .. NAME - 1
//     # end
// are written counts[NAME] times, $i being 0, 1, ...
// Throws c10::Error where the source does not compile, std::out_of_range for an unknown source.
void define(torch::jit::Module& module, const std::string& source, const Counts& counts = {});

// The repetitions of `text` written out. Exposed for its tests.
std::string expand(const std::string& text, const Counts& counts);

// Parameters, then buffers, under their dotted names, in the order of registration.
std::vector<std::pair<std::string, at::Tensor>> named_tensors(const torch::jit::Module& module);

// How the tensors of a file differ from those of a module; empty where they match.
struct Mismatch {
  std::vector<std::string> missing;     // in the module only
  std::vector<std::string> unexpected;  // in the file only
  std::vector<std::string> shapes;      // "name: expected [2, 3], got [3, 2]"
  bool empty() const { return missing.empty() && unexpected.empty() && shapes.empty(); }
  // One line: "missing: a, b; unexpected: c; mismatched: ...", each list cut after five names.
  std::string describe() const;
};

// Copies `state` into the module's tensors, all of them or none.
Mismatch load_state(torch::jit::Module& module, const std::map<std::string, at::Tensor>& state);

}  // namespace rewire::script
