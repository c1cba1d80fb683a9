// What the kernels of an op for different devices give, and share in giving it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>

#include "ops/rewire.h"

namespace rewire::ops {

// The outputs of an op: checked against its contract, of the shapes that rewire.h says, on the
// device of its input and not initialized. What a Meta kernel returns, and what the others fill.
Selection allocate_select(const at::Tensor& weight, int64_t keep,
                          const std::optional<at::Tensor>& hint);
at::Tensor allocate_strongest_mask(const at::Tensor& weight, int64_t keep);
at::Tensor allocate_keep_strongest(const at::Tensor& weight, int64_t keep,
                                   std::string_view gradient);
at::Tensor allocate_targeted_dropout_mask(const at::Tensor& weight, int64_t candidates,
                                          bool per_row, const std::optional<at::Tensor>& draws,
                                          double drop_rate);

// Gives a selection of no edges: offsets of 0, threshold inf.
void fill_empty(const Selection& out);

// What targeted dropout leaves: all that are no candidates, and the candidates with a draw of at
// least drop_rate; none of these without draws.
at::Tensor left_by_draws(const at::Tensor& no_candidates, const std::optional<at::Tensor>& draws,
                         double drop_rate);

using SelectOutputs =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
SelectOutputs as_tuple(const Selection& selection);

}  // namespace rewire::ops
