// rewire_experiment::archive: the network of an experiment file, with weights, as a TorchScript
// archive in a uint8 tensor. So Python gets what the program builds, and the library names no
// symbol of a Python.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "error.h"
#include "models/fast_eval.h"
#include "models/model.h"

namespace rewire::experiment {
namespace {

// state: tensors by `names`, all that the network has; or none: freshly initialised.
models::Model network(const config::Experiment& experiment, const std::vector<std::string>& names,
                      const std::vector<at::Tensor>& state, bool fast_eval) {
  const data::ImageSpec spec = data::image_spec(experiment.data);
  models::Model model = models::build(experiment.model, spec, experiment.seed);
  if (!names.empty()) {
    TORCH_CHECK_VALUE(names.size() == state.size(), "rewire.load: ", names.size(), " names of ",
                      state.size(), " tensors");
    std::map<std::string, at::Tensor> tensors;
    for (size_t i = 0; i < names.size(); ++i) tensors[names[i]] = state[i];
    const script::Mismatch mismatch = models::load_state(model, tensors);
    TORCH_CHECK_VALUE(mismatch.empty(),
                      "rewire.load: not the weights of this network: ", mismatch.describe());
  }
  model.module.eval();
  if (fast_eval) model = models::fast_eval(model, experiment.model, spec);
  models::set_execution(model, experiment.execution);
  return model;
}

at::Tensor archive(std::string_view file, const c10::List<std::string>& overrides,
                   const c10::List<std::string>& names, const c10::List<at::Tensor>& state,
                   bool fast_eval) {
  std::ostringstream stream;
  try {
    const config::Experiment experiment = config::load(std::string(file), overrides.vec());
    network(experiment, names.vec(), state.vec(), fast_eval).module.save(stream);
  } catch (const Error& error) {
    TORCH_CHECK_VALUE(false, "rewire.load: ", error.what());
  }
  const std::string bytes = stream.str();
  at::Tensor tensor = at::empty({int64_t(bytes.size())}, at::kByte);
  std::copy(bytes.begin(), bytes.end(),
            reinterpret_cast<char*>(tensor.mutable_data_ptr<uint8_t>()));
  return tensor;
}

}  // namespace

TORCH_LIBRARY(rewire_experiment, m) {
  m.def("archive(str file, str[] overrides, str[] names, Tensor[] state, bool fast_eval) -> Tensor",
        archive);
}

}  // namespace rewire::experiment
