#include "models/model.h"

#include <ATen/CPUGeneratorImpl.h>

#include "models/mobilenet_v1.h"
#include "models/neurons.h"
#include "models/resnet.h"
#include "models/shufflenet_v2.h"
#include "models/small.h"
#include "models/wired_mobilenet_v1.h"
#include "models/wiring.h"
#include "ops/rewire.h"

namespace rewire::models {
namespace {

namespace jit = torch::jit;

Model build_family(const SmallDescription& description, const data::ImageSpec& spec,
                   at::Generator& generator) {
  return build_small(description, spec, generator);
}

Model build_family(const MobileNetV1Description& description, const data::ImageSpec& spec,
                   at::Generator& generator) {
  return build_mobilenet_v1(description, spec, generator);
}

Model build_family(const ShuffleNetV2Description& description, const data::ImageSpec& spec,
                   at::Generator& generator) {
  return build_shufflenet_v2(description, spec, generator);
}

Model build_family(const WiredMobileNetV1Description& description, const data::ImageSpec& spec,
                   at::Generator& generator) {
  return build_wired_mobilenet_v1(description, spec, generator);
}

Model build_family(const ResNetDescription& description, const data::ImageSpec& spec,
                   at::Generator& generator) {
  return build_resnet(description, spec, generator);
}

Model build_family(const NeuronsDescription& description, const data::ImageSpec& spec,
                   at::Generator& generator) {
  return build_neurons(description, spec, generator);
}

// The [out, in * k * k] view of a wired layer's [out, in, k, k] tensor.
at::Tensor matrix(const at::Tensor& tensor) { return tensor.flatten(1); }

}  // namespace

Model build(const Description& description, const data::ImageSpec& spec, int64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(uint64_t(seed));
  return std::visit([&](const auto& family) { return build_family(family, spec, generator); },
                    description);
}

void move_to(Model& model, at::Device device) {
  model.module.to(device);
  model.device = device;
}

void set_execution(Model& model, const std::string& execution) {
  for (jit::Module module : model.module.modules()) {
    if (module.hasattr("execution")) module.setattr("execution", execution);
  }
}

void set_group(Model& model, const std::string& group) {
  for (jit::Module module : model.module.modules()) {
    if (module.hasattr("group")) module.setattr("group", group);
  }
}

std::string faster_execution(const Model& model) {
  double edges = 0, readable = 0;
  for (const Wiring& wiring : model.wirings) {
    edges += edges_in_use(model, wiring).sum().item<double>();
    readable += wiring.readable.sum().item<double>();
  }
  return ops::faster_execution(edges / std::max(1.0, readable), model.device);
}

jit::Module wiring_module(const Model& model, const Wiring& wiring) {
  for (const auto& [name, module] : model.module.named_modules()) {
    if (name == wiring.name) return module;
  }
  TORCH_INTERNAL_ASSERT(false, "no wired layer named ", wiring.name);
}

at::Tensor edges_kept(const Model& model, const Wiring& wiring) {
  const at::NoGradGuard no_grad;
  return matrix(wiring_module(model, wiring).get_method("edges")({}).toTensor()).cpu();
}

std::vector<at::Tensor> edges_kept(const Model& model) {
  std::vector<at::Tensor> kept;
  for (const Wiring& wiring : model.wirings) kept.push_back(edges_kept(model, wiring));
  return kept;
}

at::Tensor edges_in_use(const Model& model, const Wiring& wiring) {
  return edges_kept(model, wiring).logical_and(wiring.readable);
}

at::Tensor weights_in_use(const Model& model, const Wiring& wiring) {
  const at::Tensor weight = wiring_module(model, wiring).attr("weight").toTensor().detach();
  return matrix(weight).cpu() * edges_in_use(model, wiring);
}

EdgeCount count_edges(const Model& model) {
  EdgeCount count;
  for (const Wiring& wiring : model.wirings) {
    const at::Tensor kept = edges_kept(model, wiring);
    count.kept += kept.sum().item<int64_t>();
    count.in_use += kept.logical_and(wiring.readable).sum().item<int64_t>();
  }
  return count;
}

int64_t count_parameters(const Model& model) {
  int64_t total = 0;
  for (const at::Tensor& parameter : model.module.parameters()) total += parameter.numel();
  return total;
}

int64_t count_macs(const Model& model) {
  int64_t total = 0;
  for (const Layer& layer : model.layers) total += layer.macs;
  for (const Wiring& wiring : model.wirings) {
    total += edges_in_use(model, wiring).sum().item<int64_t>() * wiring.positions;
  }
  return total;
}

script::Mismatch load_state(Model& model, std::map<std::string, at::Tensor> state) {
  for (const Wiring& wiring : model.wirings) {
    const std::string mask = wiring.name + ".mask";
    const auto weight = state.find(wiring.name + ".weight");
    if (wiring.rule.kind == "fine_tune" && !state.contains(mask) && weight != state.end()) {
      state[mask] = fine_tune_mask(weight->second, wiring.rule.prune_rate);
    }
    const jit::Module module = wiring_module(model, wiring);
    if (wiring.rule.kind == "dnw_no_update" && !state.contains(mask)) {
      state[mask] = at::ones_like(module.attr("weight").toTensor());
    }
    for (const std::string turn : {"turn", "turn_of"}) {  // of a training with a sampled gradient
      const std::string name = wiring.name + "." + turn;
      if (!module.hasattr(turn)) state.erase(name);
      if (module.hasattr(turn) && !state.contains(name)) state[name] = module.attr(turn).toTensor();
    }
  }
  const bool of_neurons = !model.wirings.empty() && model.wirings[0].of_neurons;
  const NeuronRoles roles =
      of_neurons ? roles_of(model.module, model.wirings[0].groups[0]) : NeuronRoles();
  script::Mismatch mismatch = script::load_state(model.module, state);
  if (mismatch.empty() && of_neurons) {
    const std::string fault = structure_fault(model.module, roles);
    if (!fault.empty()) mismatch.shapes.push_back(fault);
  }
  return mismatch;
}

}  // namespace rewire::models
