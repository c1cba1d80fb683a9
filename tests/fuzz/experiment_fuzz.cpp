// config::parse. Input: YAML, then, each after a zero byte (which no text file holds), overrides.
// What is accepted must survive being written out and read again.
#include "config/experiment.h"
#include "error.h"
#include "fuzz/fuzz.h"

namespace {

using namespace rewire;

void read(std::string_view input) {
  const std::string text(input.substr(0, input.find('\0')));
  std::vector<std::string> overrides;
  for (size_t at = input.find('\0'); at != input.npos; at = input.find('\0', at + 1)) {
    overrides.emplace_back(input.substr(at + 1, input.find('\0', at + 1) - at - 1));
  }
  // A base is looked for in a folder that does not exist.
  const auto experiment = config::parse(text, "no/such/folder/x.yaml", overrides);
  const std::string written = config::to_yaml(experiment);
  const bool again = fuzz::accepts<ConfigError>([&] {
    fuzz::require(config::to_yaml(config::parse(written, "written.yaml")) == written,
                  "a written experiment reads as the same one");
  });
  fuzz::require(again, "a written experiment is accepted");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::accepts<ConfigError>([&] { read(fuzz::text_of(data, size)); });
  return 0;
}
