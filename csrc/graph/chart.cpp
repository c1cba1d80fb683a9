#include "graph/chart.h"

#include <algorithm>
#include <utility>

#include "graph/svg.h"

namespace rewire::graph {
namespace {

using svg::number;
using svg::text_at;

// The geometry, in pixels.
constexpr double kChartWidth = 360, kChartHeight = 280;
constexpr double kChartGap = 20, kChartMargin = 24;
constexpr double kBarsLeft = 52, kBarsRight = kChartWidth - 24;
constexpr double kBarsTop = 76, kBarsBottom = kChartHeight - 52;
constexpr size_t kMostInARow = 4;
constexpr int64_t kMostBars = 64;

constexpr const char* kSmall = R"(font-size="11" fill="#94a3b8")";

std::string draw_bars(const Chart& chart) {
  const int64_t highest =
      std::max<int64_t>(1, *std::max_element(chart.bars.begin(), chart.bars.end()));
  const double width = (kBarsRight - kBarsLeft) / double(chart.bars.size());
  std::string out = "<g fill=\"#2563eb\">\n";
  for (size_t i = 0; i < chart.bars.size(); ++i) {
    if (chart.bars[i] == 0) continue;
    const double height = (kBarsBottom - kBarsTop) * double(chart.bars[i]) / double(highest);
    out += "<rect x=\"" + number(kBarsLeft + width * double(i)) + "\" y=\"" +
           number(kBarsBottom - height) + "\" width=\"" + number(std::max(0.5, 0.85 * width)) +
           "\" height=\"" + number(height) + "\"/>\n";
  }
  const auto last = chart.first + chart.step * int64_t(chart.bars.size() - 1);
  return out + "</g>\n" +
         text_at(kBarsLeft - 6, kBarsTop + 4, std::string(kSmall) + R"( text-anchor="end")",
                 std::to_string(highest)) +
         text_at(kBarsLeft + width / 2, kBarsBottom + 16, kSmall, std::to_string(chart.first)) +
         (last > chart.first
              ? text_at(kBarsRight - width / 2, kBarsBottom + 16, kSmall, std::to_string(last))
              : "");
}

std::string draw_chart(const Chart& chart, double left, double top) {
  return "<g transform=\"translate(" + number(left) + " " + number(top) + ")\">\n" +
         svg::panel(kChartWidth, kChartHeight) +
         text_at(kChartWidth / 2, 32, R"(font-size="16" font-weight="600" fill="#0f172a")",
                 chart.title) +
         text_at(kChartWidth / 2, 53, R"(font-size="12" fill="#64748b")", chart.subtitle) +
         (chart.bars.empty() ? "" : draw_bars(chart)) + "<path d=\"M" + number(kBarsLeft) + " " +
         number(kBarsBottom) + "H" + number(kBarsRight) + "\" stroke=\"#cbd5e1\"/>\n" +
         text_at(kChartWidth / 2, kChartHeight - 18, kSmall, chart.axis) + "</g>\n";
}

}  // namespace

Chart degree_chart(std::string title, std::span<const int64_t> degrees) {
  Chart chart{std::move(title), {}, "edges of a channel", {}};
  if (degrees.empty()) return chart;
  const int64_t largest = *std::max_element(degrees.begin(), degrees.end());
  chart.step = largest / kMostBars + 1;
  chart.bars.resize(largest / chart.step + 1);
  int64_t none = 0, edges = 0;
  for (const int64_t degree : degrees) {
    ++chart.bars[degree / chart.step];
    none += degree == 0;
    edges += degree;
  }
  const std::string mean = number(double(edges) / double(degrees.size()));
  chart.subtitle = std::to_string(degrees.size()) + " channels, " + mean + " edges in the mean, " +
                   std::to_string(none) + " without";
  return chart;
}

std::string draw_charts_svg(std::span<const Chart> charts) {
  const size_t columns = std::clamp<size_t>(charts.size(), 1, kMostInARow);
  const size_t rows = (charts.size() + columns - 1) / columns;
  std::string body;
  for (size_t i = 0; i < charts.size(); ++i) {
    body += draw_chart(charts[i], kChartMargin + double(i % columns) * (kChartWidth + kChartGap),
                       kChartMargin + double(i / columns) * (kChartHeight + kChartGap));
  }
  const auto length = [](size_t panels, double size) {
    return 2 * kChartMargin + double(panels) * (size + kChartGap) - kChartGap;
  };
  return svg::document(length(columns, kChartWidth),
                       length(std::max<size_t>(rows, 1), kChartHeight), body);
}

}  // namespace rewire::graph
