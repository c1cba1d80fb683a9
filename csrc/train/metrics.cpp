#include "train/metrics.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <fstream>

#include "data/file.h"

namespace rewire::train {

void Sums::add(double loss, const at::Tensor& logits, const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  const int64_t batch = logits.size(0), classes = logits.size(1);
  loss_ += loss * double(batch);
  images_ += batch;
  if (labels.is_floating_point()) {
    const auto right = ((logits.cpu() - labels).abs() <= within_).all(1).sum().item<int64_t>();
    for (int64_t& hits : hits_) hits += right;
    return;
  }
  const int64_t widest = std::min(classes, *std::max_element(topk_.begin(), topk_.end()));
  const at::Tensor hits = std::get<1>(logits.topk(widest, 1)).cpu() == labels.unsqueeze(1);
  for (size_t i = 0; i < topk_.size(); ++i) {
    hits_[i] += hits.narrow(1, 0, std::min(topk_[i], classes)).sum().item<int64_t>();
  }
}

nlohmann::ordered_json Sums::json() const {
  nlohmann::ordered_json row;
  row["loss"] = loss();
  for (size_t i = 0; i < topk_.size(); ++i) row[fmt::format("top{}", topk_[i])] = top(i);
  row["images"] = images_;
  if (skipped > 0) row["skipped"] = skipped;
  return row;
}

at::Tensor Sums::tensor() const {
  std::vector<double> values = {loss_, double(images_), seconds};
  values.insert(values.end(), hits_.begin(), hits_.end());
  return at::tensor(values, at::kDouble);
}

void Sums::load(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.dim() == 1 && tensor.size(0) == int64_t(3 + hits_.size()),
              "partial sums of another length");
  const at::Tensor values = tensor.to(at::kDouble).contiguous();
  const double* value = values.const_data_ptr<double>();
  loss_ = value[0];
  images_ = int64_t(value[1]);
  seconds = value[2];
  for (size_t i = 0; i < hits_.size(); ++i) hits_[i] = int64_t(value[3 + i]);
}

MetricsFile::MetricsFile(const std::filesystem::path& file, int64_t next_epoch) : file_(file) {
  std::string kept;
  std::ifstream old(file);
  for (std::string line; std::getline(old, line);) {
    const auto row = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!row.is_object() || !row.contains("epoch") || !row["epoch"].is_number_integer()) continue;
    if (row["epoch"].get<int64_t>() < next_epoch) kept += line + "\n";
  }
  data::write_atomically(file, kept);
}

void MetricsFile::write(const nlohmann::ordered_json& row) {
  data::append(file_, row.dump() + "\n");
  data::flush(file_);
}

}  // namespace rewire::train
