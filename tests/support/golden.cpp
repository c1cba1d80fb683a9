#include "support/golden.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace rewire::test {
namespace {

std::filesystem::path golden_folder() {
  return std::filesystem::path(REWIRE_SOURCE_DIR) / "tests" / "golden";
}

}  // namespace

Golden load_golden(const std::string& name) {
  const std::filesystem::path path = golden_folder() / (name + ".pt");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
  Golden golden;
  for (const auto& entry : torch::jit::pickle_load(bytes).toGenericDict()) {
    golden.emplace(entry.key().toStringRef(), entry.value().toTensor());
  }
  return golden;
}

std::vector<std::string> golden_names(const std::string& prefix) {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(golden_folder())) {
    const std::string name = file.path().stem().string();
    if (name.starts_with(prefix)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

testing::AssertionResult close(const at::Tensor& actual, const at::Tensor& expected,
                               double tolerance) {
  if (actual.sizes() != expected.sizes()) {
    return testing::AssertionFailure()
           << "shape " << actual.sizes() << ", expected " << expected.sizes();
  }
  if (expected.numel() == 0) return testing::AssertionSuccess();
  const at::Tensor want = expected.detach().to(at::kDouble).flatten();
  const at::Tensor got = actual.detach().to(at::kDouble).flatten();
  const at::Tensor difference = (got - want).abs().nan_to_num(INFINITY);
  const int64_t worst = difference.argmax().item<int64_t>();
  const double allowed = tolerance * want.abs().max().item<double>();
  if (difference[worst].item<double>() <= allowed) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "element " << worst << " is " << got[worst].item<double>() << ", expected "
         << want[worst].item<double>() << "; allowed difference " << allowed;
}

testing::AssertionResult same(const at::Tensor& actual, const at::Tensor& expected) {
  if (actual.scalar_type() != expected.scalar_type()) {
    return testing::AssertionFailure()
           << "dtype " << actual.scalar_type() << ", expected " << expected.scalar_type();
  }
  if (actual.sizes() == expected.sizes() && at::allclose(actual, expected, 0, 0, true)) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "got\n" << actual << "\nexpected\n" << expected;
}

}  // namespace rewire::test
