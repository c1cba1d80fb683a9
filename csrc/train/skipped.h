// Images that cannot be read, where data.on_bad_image says that they are skipped.
#pragma once

#include <functional>
#include <string>

#include "data/batch.h"
#include "train/metrics.h"

namespace rewire::train {

// Counts a batch's skipped images in `sums`, and gives the first ten of a pass to `log`, if there
// is one: "skipped <path>: <cause>".
void count_skipped(const data::Batch& batch, Sums& sums,
                   const std::function<void(const std::string&)>& log);

// For the end of a pass. Throws DataError where all of its images were skipped.
void refuse_all_skipped(const Sums& sums);

}  // namespace rewire::train
