// One wired layer as a module: candidate weights and the rule that chooses among them.
#pragma once

#include <torch/script.h>

#include <vector>

#include "models/description.h"

namespace rewire::models {

// trunc(prune_rate x candidates), the product in double: the edges that are not in use.
int64_t pruned_count(double prune_rate, int64_t candidates);

// Gives a module the parameter `weight` [out, in, k, k], an attribute `gradient`, and the methods
//   candidates() -> [out, in, k, k]     the weights that the structure chooses from
//   structure() -> Tensor[]             where k is 1: the edges in use, as rewire.select gives
//                                       them; empty: all
//   effective() -> [out, in, k, k]      the weights in use, 0 elsewhere; not of a sampled gradient
//   edges() -> bool [out, in, k, k]     which edges those are
//   gradient_rates() -> [out] or none   of the gradient of candidates that are not in use
// A network's op takes these, but for edges(), with `gradient`.
// A sampled gradient has buffers `turn_of` [out] and `turn` [], which say whose turn it is.
// Kinds `random` and `fine_tune` hold their choice in a buffer `mask`; so does `dnw_no_update`,
// whose mask is all ones and unread, since published checkpoints have it. impossible [out * in * k
// * k]: edges that `random` never draws.
void add_wiring(torch::jit::Module& module, const WiringDescription& description,
                const at::Tensor& weight, const std::vector<uint8_t>& impossible,
                at::Generator& generator);
// A module of these alone, its weight [out, in, 1, 1] ~ U(-1 / sqrt(in), 1 / sqrt(in)).
torch::jit::Module wiring(const WiringDescription& description, int64_t out, int64_t in,
                          const std::vector<uint8_t>& impossible, at::Generator& generator);

// The kind of a wiring that is chosen already, which no experiment file names: where k is 1 buffers
// hold the structure, of no edge until fix_wiring() sets it with the weights [out, in, k, k], of
// which it keeps those in use, and the edges, bool [out, in * k * k].
inline constexpr const char* kFixed = "fixed";
void fix_wiring(torch::jit::Module wiring, const at::Tensor& weight, const at::Tensor& edges);

// fine_tune's mask: 0 for the trunc(prune_rate x candidates) weakest edges and for weights of
// exactly 0, else 1. To be set anew whenever weights are loaded without a mask.
at::Tensor fine_tune_mask(const at::Tensor& weight, double prune_rate);

}  // namespace rewire::models
