// Checkpoints of the published code of "Discovering Neural Wirings".
#pragma once

#include <filesystem>
#include <optional>

#include "config/experiment.h"
#include "train/run_state.h"

namespace rewire::train {

struct Published {
  int64_t epochs = 0;          // that had ended; `state` stands at most at the experiment's end
  std::optional<double> best;  // top-1 in per cent
  bool optimizer = false;      // whether its momentum was there and fits
};

// Sets `state`, fresh, to what the file at `path` holds: weights and statistics by their published
// names, and where they are there, the epoch, the best result and SGD's momentum. Formats: those of
// torch_file.h; a dict with `model` or `state_dict`, or the state dict itself.
// Throws CheckpointError as TorchFile does, and with the missing, unexpected and mismatched names;
// NumberError where a weight is not finite.
Published load_published(const std::filesystem::path& path, const config::Experiment& experiment,
                         RunState& state);

}  // namespace rewire::train
