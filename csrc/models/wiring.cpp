#include "models/wiring.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "models/layers.h"
#include "ops/rewire.h"
#include "script/script.h"

namespace rewire::models {
namespace {

namespace jit = torch::jit;

void define_dnw(jit::Module& module, const WiringDescription& description,
                const at::Tensor& weight) {
  const bool no_update = description.kind == "dnw_no_update";
  if (no_update) module.register_buffer("mask", at::ones_like(weight));
  module.register_attribute("keep", c10::IntType::get(),
                            weight.numel() - pruned_count(description.prune_rate, weight.numel()));
  script::define(module, "wiring_dnw");
}

void define_targeted_dropout(jit::Module& module, const WiringDescription& description,
                             const at::Tensor& weight) {
  const bool per_row = description.kind == "reg_td";
  const int64_t choices = weight.numel() / (per_row ? weight.size(0) : 1);
  module.register_attribute("weakest", c10::IntType::get(),
                            pruned_count(description.prune_rate, choices));
  module.register_attribute("per_row", c10::BoolType::get(), per_row);
  module.register_attribute("drop_rate", c10::FloatType::get(),
                            description.rho.value_or(description.prune_rate));
  module.register_attribute("keep_sign", c10::BoolType::get(), description.keep_sign);
  script::define(module, "wiring_targeted_dropout");
}

// The names of a structure's tensors, as the source has them.
constexpr const char* kStructure[] = {"row_offsets", "columns", "column_offsets", "rows", "order"};

void set_structure(const at::Tensor& edges,
                   const std::function<void(const char*, const at::Tensor&)>& set) {
  const auto s = ops::select(edges.to(at::kFloat), edges.sum().item<int64_t>());
  const at::Tensor tensors[] = {s.row_offsets, s.columns, s.column_offsets, s.rows, s.order};
  for (size_t i = 0; i < std::size(tensors); ++i) set(kStructure[i], tensors[i]);
}

// Whether a layer multiplies with a structure: one of several places is computed dense.
bool has_structure(const at::Tensor& weight) { return weight.size(2) * weight.size(3) == 1; }

void define_fixed(jit::Module& module, const at::Tensor& weight) {
  if (!has_structure(weight)) return script::define(module, "wiring_fixed_dense");
  const at::Tensor none = at::zeros({weight.size(0), weight.size(1)}, at::kBool);
  set_structure(none, [&](const char* name, const at::Tensor& tensor) {
    module.register_buffer(name, tensor);
  });
  script::define(module, "wiring_fixed");
}

// Candidates that the rule itself leaves out get no gradient; those of targeted dropout get what
// that op gives them.
std::string gradient_of(const WiringDescription& description) {
  const std::string& kind = description.kind;
  if (kind == "dnw") return description.sampled ? "candidates" : description.gradient;
  return kind == "dnw_no_update" || kind == "random" || kind == "fine_tune" ? "kept" : "all";
}

// The n of which 1 / n is nearest to the fraction.
int64_t nearest_turns(double fraction) {
  const int64_t fewer = int64_t(1 / fraction), more = fewer + 1;
  return 1.0 / fewer - fraction <= fraction - 1.0 / more ? fewer : more;
}

// Outputs of a panel: enough for a product to be fast, and so few that each turn has one.
int64_t panel_size(int64_t out, int64_t turns) { return std::clamp<int64_t>(out / turns, 1, 32); }

void define_gradient(jit::Module& module, const WiringDescription& description, int64_t out) {
  module.register_attribute("gradient", c10::StringType::get(), gradient_of(description));
  if (description.kind != "dnw" || !description.sampled) {
    script::define(module, "gradient_fixed");
    return;
  }
  const int64_t turns = nearest_turns(description.sampled->candidates);
  module.register_attribute("turns", c10::IntType::get(), turns);
  module.register_attribute("panel", c10::IntType::get(), panel_size(out, turns));
  module.register_buffer("turn_of", at::zeros({out}, at::kLong));
  module.register_buffer("turn", at::zeros({}, at::kLong));
  script::define(module, "gradient_rotating");
}

at::Tensor random_mask(const WiringDescription& description, const at::Tensor& weight,
                       const std::vector<uint8_t>& impossible, at::Generator& generator) {
  const at::Tensor draws = at::empty(weight.sizes()).uniform_(0, 1, generator);
  const at::Tensor forbidden =
      at::from_blob(const_cast<uint8_t*>(impossible.data()), weight.sizes(), at::kByte)
          .to(at::kBool);
  return ops::random_mask(draws, pruned_count(description.prune_rate, weight.numel()), forbidden)
      .to(weight.scalar_type());
}

}  // namespace

int64_t pruned_count(double prune_rate, int64_t candidates) {
  return int64_t(std::trunc(prune_rate * double(candidates)));
}

void fix_wiring(jit::Module wiring, const at::Tensor& weight, const at::Tensor& edges) {
  const at::Tensor values = weight.detach() * edges.view_as(weight);
  wiring.setattr("weight", values.requires_grad_());
  if (!has_structure(values)) return;
  set_structure(edges,
                [&](const char* name, const at::Tensor& tensor) { wiring.setattr(name, tensor); });
}

at::Tensor fine_tune_mask(const at::Tensor& weight, double prune_rate) {
  const at::Tensor values = weight.detach();
  const int64_t keep = values.numel() - pruned_count(prune_rate, values.numel());
  return ops::strongest_mask(values, keep).logical_and(values != 0).to(values.scalar_type());
}

void add_wiring(jit::Module& module, const WiringDescription& description, const at::Tensor& weight,
                const std::vector<uint8_t>& impossible, at::Generator& generator) {
  const std::string& kind = description.kind;
  module.register_parameter("weight", weight, false);
  define_gradient(module, description, weight.size(0));
  if (kind == "complete") {
    script::define(module, "wiring_complete");
  } else if (kind == "dnw" || kind == "dnw_no_update") {
    define_dnw(module, description, weight);
  } else if (kind == "reg_td" || kind == "td") {
    define_targeted_dropout(module, description, weight);
  } else if (kind == kFixed) {
    define_fixed(module, weight);
  } else {
    module.register_buffer("mask", kind == "random"
                                       ? random_mask(description, weight, impossible, generator)
                                       : fine_tune_mask(weight, description.prune_rate));
    script::define(module, "wiring_masked");
  }
}

jit::Module wiring(const WiringDescription& description, int64_t out, int64_t in,
                   const std::vector<uint8_t>& impossible, at::Generator& generator) {
  jit::Module module = script::new_module("Wiring");
  add_wiring(module, description,
             uniform_parameter({out, in, 1, 1}, 1 / std::sqrt(double(in)), generator), impossible,
             generator);
  return module;
}

}  // namespace rewire::models
