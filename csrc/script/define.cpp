#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>

#include <regex>
#include <sstream>

#include "embedded/torchscript.h"
#include "script/script.h"

namespace rewire::script {
namespace {

namespace jit = torch::jit;

// `torch`: its functions, and torch.bool, the one dtype that the sources name.
struct TorchModule : jit::BuiltinModule {
  TorchModule() : BuiltinModule("aten") {}
  std::shared_ptr<jit::SugaredValue> attr(const jit::SourceRange& place, jit::GraphFunction& method,
                                          const std::string& field) override {
    if (field != "bool") return BuiltinModule::attr(place, method, field);
    return std::make_shared<jit::SimpleValue>(
        method.graph()->insertConstant(static_cast<int64_t>(at::kBool), place));
  }
};

// LibTorch's own resolver knows neither `rewire.*` nor `torch.*` as Python writes them.
struct Resolver : jit::Resolver {
  std::shared_ptr<jit::SugaredValue> resolveValue(const std::string& name,
                                                  jit::GraphFunction& method,
                                                  const jit::SourceRange& place) override {
    if (name == "torch") return std::make_shared<TorchModule>();
    if (name == "rewire") return std::make_shared<jit::BuiltinModule>("rewire");
    return jit::nativeResolver()->resolveValue(name, method, place);
  }
};

std::string source_text(const std::string& source) {
  const std::string file = "/" + source + ".py";
  for (const embedded::File& embedded : embedded::torchscript()) {
    if (embedded.path.ends_with(file)) return std::string(embedded.bytes);
  }
  throw std::out_of_range("no embedded TorchScript source " + source);
}

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

}  // namespace

jit::Module new_module(const std::string& name) {
  jit::Module module("__torch__.rewire." + name);
  module.register_attribute("training", c10::BoolType::get(), true);
  return module;
}

std::string expand(const std::string& text, const Counts& counts) {
  static const std::regex kRepeat(R"(\s*# repeat i = 0 \.\. (\w+) - 1\s*)");
  std::istringstream lines(text);
  std::string out, line;
  while (std::getline(lines, line)) {
    std::smatch match;
    if (!std::regex_match(line, match, kRepeat)) {
      out += line + "\n";
      continue;
    }
    const int64_t times = counts.at(match[1]);
    std::string body;
    while (std::getline(lines, line) && line.find("# end") == std::string::npos)
      body += line + "\n";
    for (int64_t i = 0; i < times; ++i) out += replace_all(body, "$i", std::to_string(i));
  }
  return out;
}

void define(jit::Module& module, const std::string& source, const Counts& counts) {
  module.define(expand(source_text(source), counts), std::make_shared<Resolver>());
}

}  // namespace rewire::script
