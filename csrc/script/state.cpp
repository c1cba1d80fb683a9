#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "error.h"
#include "script/script.h"

namespace rewire::script {
namespace {

std::string listed(const char* title, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  constexpr size_t kShown = 5;
  std::vector<std::string> shown(names.begin(), names.begin() + std::min(kShown, names.size()));
  std::transform(shown.begin(), shown.end(), shown.begin(), printable);  // some are of a file
  const std::string rest =
      names.size() > kShown ? fmt::format(" and {} more", names.size() - kShown) : "";
  return fmt::format("{}: {}{}", title, fmt::join(shown, ", "), rest);
}

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> named_tensors(const torch::jit::Module& module) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& item : module.named_parameters()) tensors.emplace_back(item.name, item.value);
  for (const auto& item : module.named_buffers()) tensors.emplace_back(item.name, item.value);
  return tensors;
}

std::string Mismatch::describe() const {
  std::vector<std::string> parts;
  for (const std::string& part : {listed("missing", missing), listed("unexpected", unexpected),
                                  listed("mismatched", shapes)}) {
    if (!part.empty()) parts.push_back(part);
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

Mismatch load_state(torch::jit::Module& module, const std::map<std::string, at::Tensor>& state) {
  Mismatch mismatch;
  const auto tensors = named_tensors(module);
  std::map<std::string, at::Tensor> own(tensors.begin(), tensors.end());
  for (const auto& [name, tensor] : own) {
    const auto given = state.find(name);
    if (given == state.end()) {
      mismatch.missing.push_back(name);
    } else if (given->second.sizes() != tensor.sizes()) {
      mismatch.shapes.push_back(fmt::format("{}: expected [{}], got [{}]", name,
                                            fmt::join(tensor.sizes(), ", "),
                                            fmt::join(given->second.sizes(), ", ")));
    }
  }
  for (const auto& [name, tensor] : state) {
    if (!own.contains(name)) mismatch.unexpected.push_back(name);
  }
  if (!mismatch.empty()) return mismatch;
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : own) tensor.copy_(state.at(name));
  return mismatch;
}

}  // namespace rewire::script
