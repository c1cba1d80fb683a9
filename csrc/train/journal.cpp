#include "train/journal.h"

#include <fmt/format.h>

#include <utility>

#include "data/file.h"
#include "data/image_file.h"
#include "models/view.h"

namespace rewire::train {
namespace {

using Row = nlohmann::ordered_json;

Row row_of(int64_t epoch, const char* split, const Sums& sums) {
  Row row;
  row["epoch"] = epoch;
  row["split"] = split;
  row.update(sums.json());
  row["seconds"] = sums.seconds;
  row["images_per_second"] = sums.seconds > 0 ? double(sums.images()) / sums.seconds : 0;
  return row;
}

}  // namespace

Journal::Journal(const RunFolder& folder, const RunState& state)
    : folder_(folder.wiring()),
      metrics_(folder.metrics(), state.epoch),
      events_(folder.root(), state.epoch) {}

void Journal::epoch(RunState& state, const Sums& test, double rate) {
  std::vector<at::Tensor> now;
  edges_changed_ = 0;
  for (size_t i = 0; i < state.edges_before.size(); ++i) {
    now.push_back(models::edges_kept(state.model, state.model.wirings[i]));
    edges_changed_ += now[i].logical_and(state.edges_before[i].logical_not()).sum().item<int64_t>();
  }
  const models::EdgeCount edges = models::count_edges(state.model);
  Row train = row_of(state.epoch, "train", state.sums);
  train["lr"] = rate;
  train["edges"] = edges.kept;
  train["edges_in_use"] = edges.in_use;
  train["edges_changed"] = edges_changed_;
  rows_ = {train, row_of(state.epoch, "test", test)};
  for (const Row& row : rows_) metrics_.write(row);
  state.edges_before = std::move(now);
}

void Journal::curves() {
  for (const Row& row : rows_) {
    const std::string split = row["split"];
    for (const auto& [key, value] : row.items()) {
      if (key == "epoch" || key == "split" || key == "images") continue;
      events_.scalar(fmt::format("{}/{}", key, split), row["epoch"].get<int64_t>(),
                     value.get<float>());
    }
  }
}

void Journal::pictures(const models::Model& model, int64_t epoch, bool to_files) {
  for (const models::Wiring& wiring : model.wirings) {
    const graph::Picture picture = models::matrix_of(model, wiring);
    const std::string png = data::encode_png(picture.width, picture.height, picture.rgb);
    events_.image("wiring/" + wiring.name, epoch, picture.width, picture.height, png);
    const models::Degrees degrees = models::degrees_of(model, wiring);
    degree_curves(wiring.name + "/received", degrees.received, epoch);
    degree_curves(wiring.name + "/sent", degrees.sent, epoch);
    if (!to_files) continue;
    std::filesystem::create_directories(folder_);
    data::write_atomically(folder_ / fmt::format("{}_epoch_{}.png", wiring.name, epoch), png);
  }
}

void Journal::degree_curves(const std::string& name, const at::Tensor& degrees, int64_t epoch) {
  const at::Tensor all = degrees.contiguous();
  events_.histogram("degrees/" + name, epoch, {all.const_data_ptr<int64_t>(), size_t(all.numel())});
  events_.scalar("channels_without_edges/" + name, epoch, (all == 0).sum().item<float>());
}

}  // namespace rewire::train
