#include "graph/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rewire::graph {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(DegreeChart, CountsChannelsByTheirEdges) {
  const std::vector<int64_t> degrees = {0, 2, 2, 3, 0};
  const Chart chart = degree_chart("graph: sent", degrees);
  EXPECT_EQ(chart.title, "graph: sent");
  EXPECT_EQ(chart.subtitle, "5 channels, 1.4 edges in the mean, 2 without");
  EXPECT_THAT(chart.bars, ElementsAre(2, 0, 2, 1));
  EXPECT_EQ(chart.step, 1);
}

TEST(DegreeChart, HasAtMost64Bars) {
  const std::vector<int64_t> degrees = {0, 63, 64, 640};
  const Chart chart = degree_chart("", degrees);
  EXPECT_EQ(chart.step, 11);  // the least with which 640 is in one of 64
  EXPECT_EQ(chart.bars.size(), 59u);
  EXPECT_EQ(chart.bars.front(), 1);
  EXPECT_EQ(chart.bars[5], 2);  // 55 to 65
  EXPECT_EQ(chart.bars.back(), 1);
}

TEST(DegreeChart, OfNoChannelIsEmpty) { EXPECT_TRUE(degree_chart("", {}).bars.empty()); }

TEST(DrawChartsSvg, DrawsABarOfEachNumberThatIsNotZero) {
  const Chart chart{"a < b", "three epochs", "epoch", {4, 0, 2}, 10, 5};
  const std::string svg = draw_charts_svg({&chart, 1});
  EXPECT_THAT(svg, HasSubstr("a &lt; b"));
  EXPECT_THAT(svg, HasSubstr(">10</text>"));  // the first bar, and the last
  EXPECT_THAT(svg, HasSubstr(">20</text>"));
  EXPECT_THAT(svg, HasSubstr(">4</text>"));  // the highest
  const std::string bars = svg.substr(svg.find("<g fill=\"#2563eb\">"));
  EXPECT_EQ(count(bars, "<rect"), 2);
  EXPECT_THAT(bars, HasSubstr("height=\"152\""));  // the whole plot, and half of it
  EXPECT_THAT(bars, HasSubstr("height=\"76\""));
}

TEST(DrawChartsSvg, PutsAtMostFourInARow) {
  const std::vector<Chart> charts(5, Chart{"t", "", "", {1}});
  EXPECT_THAT(draw_charts_svg(charts), HasSubstr("viewBox=\"0 0 1548 628\""));
  EXPECT_EQ(count(draw_charts_svg(charts), ">t</text>"), 5);
}

TEST(DrawChartsSvg, DrawsWhatIsEmpty) {
  const Chart chart{"nothing", "", "epoch", {}};
  EXPECT_THAT(draw_charts_svg({&chart, 1}), HasSubstr("nothing"));
  EXPECT_THAT(draw_charts_svg({}), HasSubstr("</svg>"));
}

}  // namespace
}  // namespace rewire::graph
