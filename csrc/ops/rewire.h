// The operators of rewire for C++ callers; torch.ops.rewire.* are the same ones. All go through the
// dispatcher, so that autograd, InferenceMode and other devices work as for torch's own.
//
// What holds for all of them: no output aliases an input, nothing is changed in place, no random
// number is drawn, nothing is remembered between calls. Results are the same bits at every number
// of threads. A weight is floating: float32, float64, float16 or bfloat16; any strides. Each throws
// c10::Error where its contract is broken, and, on the CPU, where a weight holds NaN, naming the
// place: row = index in the first dimension, column = flat index within it. On CUDA nothing waits
// for the device, and so no value is looked at by the host: NaN counts as the largest magnitude,
// and shows in what is computed from it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace rewire::ops {

// Which edges of a layer of `in` to `out` channels exist, as CSR by output and by input. All int32.
struct Selection {
  at::Tensor row_offsets;  // [out + 1] edges of output v are row_offsets[v] .. row_offsets[v + 1]
  at::Tensor columns;      // [edges] their inputs, ascending in a row
  at::Tensor column_offsets;  // [in + 1] edges of input u, in the transpose
  at::Tensor rows;            // [edges] their outputs, ascending in a column
  at::Tensor order;           // [edges] order[j] = position in CSR of the transpose's j-th edge
  at::Tensor threshold;       // [] the smallest magnitude kept, of the weight's dtype
};

// Chooses the `keep` strongest edges of a weight.
//   edge e is chosen if |weight[e]| is among the `keep` largest   (ties: the lower flat index wins)
// weight [out, in] or [out, in, 1, 1]. keep in [0, out * in], at most 2^31 - 1. keep = 0 gives the
// threshold +inf.
// hint [], of the weight's dtype: an earlier threshold. One near today's makes the call faster; no
// value, NaN and inf included, changes its result. Not used on CUDA.
// Gradient: none, no output requires one. O(out * in) time, O(keep) memory unless the weight's
// order of values is hostile to a sample of fixed places. Source: Wortsman, Farhadi, Rastegari
// 2019, section 3.
Selection select(const at::Tensor& weight, int64_t keep,
                 const std::optional<at::Tensor>& hint = std::nullopt);

// The same choice as a mask: true where the entry is among the `keep` strongest.
// weight of any shape, keep in [0, numel]. Returns bool of the weight's shape. Gradient: none.
at::Tensor strongest_mask(const at::Tensor& weight, int64_t keep);

// The same choice as a dense effective weight.
//   out[e] = weight[e] if e is among the `keep` strongest, else +0
// weight of any shape, keep in [0, numel]. Returns the weight's shape, dtype and device.
// Gradient: `all`, straight-through: grad_weight = grad_out for every entry, kept or not;
//           `kept`: grad_weight = grad_out where kept, else 0.
// Source: Wortsman, Farhadi, Rastegari 2019, section 3.
at::Tensor keep_strongest(const at::Tensor& weight, int64_t keep,
                          std::string_view gradient = "all");

// A weight with some of its weakest entries dropped.
//   out[e] = +0 if e is a candidate and draws[e] < drop_rate, else weight[e]
// weight [out, ...]. candidates: how many entries are candidates, the smallest by magnitude, in
// each output row (per_row, so in [0, numel / out]) or in the whole weight (in [0, numel]); of
// equal magnitudes the higher flat index is a candidate first, as in `select` it is the last to be
// kept. draws: floating, of the weight's shape; nullopt drops every candidate, which is what
// evaluation does. drop_rate in [0, 1], rounded to the dtype of draws. keep_sign = false gives
// |weight[e]| for the entries left, as the published code does. Gradient: grad_weight = grad_out
// for the entries left (times sign(weight[e]), sign(0) = 0, without keep_sign), 0 for those
// dropped. None to draws. Source: Gomez et al. 2019 (targeted dropout), as used in Wortsman,
// Farhadi, Rastegari 2019.
at::Tensor targeted_dropout(const at::Tensor& weight, int64_t candidates, bool per_row,
                            const std::optional<at::Tensor>& draws, double drop_rate,
                            bool keep_sign = true);

// A fixed random wiring.
//   d[e] = 0 if impossible[e], else draws[e]
//   mask[e] = d[e] > 0 and e is not among the `prune` smallest of d   (ties: the higher flat index
//             is pruned first)
// draws of any shape, floating, at least 0 (on CUDA others count as 0). impossible: bool of the
// same shape, nullopt for none; such entries count among the pruned. prune in [0, numel]. Returns
// bool of the shape of draws. Gradient: none. Source: Wortsman, Farhadi, Rastegari 2019, the static
// random baseline.
at::Tensor random_mask(const at::Tensor& draws, int64_t prune,
                       const std::optional<at::Tensor>& impossible = std::nullopt);

}  // namespace rewire::ops
