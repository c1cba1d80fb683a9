#include "data/dataset.h"
#include "error.h"

namespace rewire::data {

Dataset open_table(const Description& description) {
  Dataset dataset;
  dataset.spec = image_spec(description);
  const size_t width = size_t(dataset.spec.channels) + dataset.spec.classes.size();
  for (const std::vector<double>& row : description.rows) {
    if (dataset.spec.channels < 1 || row.size() != width) {
      throw ConfigError("data.rows: expected rows of one length, which holds inputs and targets");
    }
    dataset.numbers.insert(dataset.numbers.end(), row.begin(), row.end());
  }
  dataset.labels.assign(description.rows.size(), 0);
  return dataset;
}

}  // namespace rewire::data
