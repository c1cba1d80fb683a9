#include "summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rewire::cli {
namespace {

template <typename F>
double mean_of(const std::vector<Outcome>& runs, F&& value) {
  double sum = 0;
  for (const Outcome& run : runs) sum += value(run);
  return sum / double(runs.size());
}

double mean_best(const Summary& summary) {
  return mean_of(summary.runs, [](const Outcome& run) { return run.best_top1; });
}
double mean_seconds(const Summary& summary) {
  return mean_of(summary.runs, [](const Outcome& run) { return run.seconds; });
}

std::string with_deviation(double mean, const std::optional<double>& deviation) {
  return deviation ? fmt::format("{:.2f} +- {:.2f}", mean, *deviation)
                   : fmt::format("{:.2f}", mean);
}

}  // namespace

double Summary::mean() const {
  return mean_of(runs, [](const Outcome& run) { return run.top1; });
}

std::optional<double> Summary::deviation() const {
  if (runs.size() < 2) return std::nullopt;
  const double middle = mean();
  double sum = 0;
  for (const Outcome& run : runs) sum += (run.top1 - middle) * (run.top1 - middle);
  return std::sqrt(sum / double(runs.size() - 1));
}

std::string published_text(const config::Expectation& expect) {
  const std::string within = expect.within > 0 ? fmt::format(" +- {}", expect.within) : "";
  return fmt::format("{}{} ({})", expect.top1, within, expect.source);
}

std::string table_of(const std::vector<Summary>& summaries) {
  size_t width = 10;
  for (const Summary& summary : summaries) width = std::max(width, summary.name.size());
  std::string table =
      fmt::format("{:<{}}  {:>6}  {:>4}  {:>15}  {:>7}  {:>10}  {}\n", "experiment", width,
                  "epochs", "runs", "top1 %", "best %", "seconds", "published %");
  for (const Summary& summary : summaries) {
    const std::string published = summary.expect ? published_text(*summary.expect) : "";
    std::string row = fmt::format("{:<{}}  {:>6}  {:>4}  {:>15}  {:>7.2f}  {:>10.1f}  {}",
                                  summary.name, width, summary.epochs, summary.runs.size(),
                                  with_deviation(summary.mean(), summary.deviation()),
                                  mean_best(summary), mean_seconds(summary), published);
    row.erase(row.find_last_not_of(' ') + 1);
    table += row + "\n";
  }
  return table;
}

nlohmann::ordered_json json_of(const Summary& summary) {
  nlohmann::ordered_json json = {
      {"name", summary.name}, {"epochs", summary.epochs}, {"runs", summary.runs.size()}};
  json["top1"] = summary.mean();
  json["deviation"] = nullptr;
  if (const auto deviation = summary.deviation()) json["deviation"] = *deviation;
  json["best_top1"] = mean_best(summary);
  json["seconds"] = mean_seconds(summary);
  for (const Outcome& run : summary.runs) json["seeds"].push_back(run.seed);
  json["published"] = json["within"] = json["source"] = nullptr;
  if (summary.expect) {
    json["published"] = summary.expect->top1;
    json["within"] = summary.expect->within;
    json["source"] = summary.expect->source;
  }
  return json;
}

}  // namespace rewire::cli
