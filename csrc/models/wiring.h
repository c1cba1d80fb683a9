// The module of one wired layer: candidate weights and the rule that chooses among them.
#pragma once

#include <torch/script.h>

#include <vector>

#include "models/description.h"

namespace rewire::models {

// trunc(prune_rate x candidates), the product in double: the edges that are not in use.
int64_t pruned_count(double prune_rate, int64_t candidates);

// A module with parameter `weight` [out, in, 1, 1] ~ U(-1 / sqrt(in), 1 / sqrt(in)), an attribute
// `gradient`, and the methods
//   candidates() -> [out, in, 1, 1]     the weights that the structure chooses from
//   structure() -> Tensor[]             the edges in use, as rewire.select gives them; empty: all
//   edges() -> bool [out, in, 1, 1]     which edges those are
//   gradient_rates() -> [out] or none   of the gradient of candidates that are not in use
// A network's op takes these, but for edges(), with `gradient`.
// A sampled gradient has buffers `turn_of` [out] and `turn` [], which say whose turn it is.
// Kinds `random` and `fine_tune` hold their choice in a buffer `mask`; so does `dnw_no_update`,
// whose mask is all ones and unread, since published checkpoints have it. impossible [out * in]:
// edges that `random` never draws.
torch::jit::Module wiring(const WiringDescription& description, int64_t out, int64_t in,
                          const std::vector<uint8_t>& impossible, at::Generator& generator);

// The kind of a wiring that is chosen already, which no experiment file names: buffers hold the
// structure, of no edge until fix_wiring() sets it with the weights [out, in, 1, 1] and the edges,
// bool [out, in].
inline constexpr const char* kFixed = "fixed";
void fix_wiring(torch::jit::Module wiring, const at::Tensor& weight, const at::Tensor& edges);

// fine_tune's mask: 0 for the trunc(prune_rate x candidates) weakest edges and for weights of
// exactly 0, else 1. To be set anew whenever weights are loaded without a mask.
at::Tensor fine_tune_mask(const at::Tensor& weight, double prune_rate);

}  // namespace rewire::models
