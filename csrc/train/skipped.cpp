#include "train/skipped.h"

#include <fmt/format.h>

#include "error.h"

namespace rewire::train {

void count_skipped(const data::Batch& batch, Sums& sums,
                   const std::function<void(const std::string&)>& log) {
  constexpr int64_t kLogged = 10;
  for (const std::string& why : batch.skipped) {
    if (sums.skipped++ < kLogged && log) log("skipped " + why);
  }
}

void refuse_all_skipped(const Sums& sums) {
  if (sums.images() > 0 || sums.skipped == 0) return;
  throw DataError(fmt::format("none of the {} images can be read", sums.skipped));
}

}  // namespace rewire::train
