#include "graph/picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdexcept>

namespace rewire::graph {
namespace {

using Color = std::vector<int>;
const Color kWhite = {255, 255, 255}, kBlue = {37, 99, 235}, kOrange = {234, 88, 12},
            kGrey = {229, 231, 235};

Color pixel(const Picture& picture, int x, int y) {
  const auto* rgb = picture.rgb.data() + 3 * (y * picture.width + x);
  return {rgb[0], rgb[1], rgb[2]};
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(DrawMatrix, ColorsEachEntryByItsSign) {
  const std::vector<float> weight = {0.5f, 0.0f, -0.1f,  //
                                     0.0f, 2.0f, 0.0f};
  const std::vector<uint8_t> usable = {1, 1, 1,  //
                                       1, 1, 0};
  const Picture picture = draw_matrix(2, 3, weight, usable);
  EXPECT_EQ(picture.width, 3 * 170);  // 170 = 512 / 3
  EXPECT_EQ(picture.height, 2 * 170);
  ASSERT_EQ(picture.rgb.size(), 3u * picture.width * picture.height);
  const Color expected[2][3] = {{kBlue, kWhite, kOrange}, {kWhite, kBlue, kGrey}};
  for (int row = 0; row < 2; ++row) {
    for (int column = 0; column < 3; ++column) {
      EXPECT_EQ(pixel(picture, 170 * column, 170 * row), expected[row][column]);
      EXPECT_EQ(pixel(picture, 170 * column + 169, 170 * row + 169), expected[row][column]);
    }
  }
}

TEST(DrawMatrix, WithoutUsableEveryEntryIsRead) {
  const std::vector<float> weight = {0.0f};
  EXPECT_EQ(pixel(draw_matrix(1, 1, weight, {}), 0, 0), kWhite);
}

TEST(DrawMatrix, GivesAnEntryOnePixelInALargeMatrix) {
  std::vector<float> weight(300 * 400, 0.0f);
  weight[7 * 400 + 11] = 1;
  const Picture picture = draw_matrix(300, 400, weight, {});
  EXPECT_EQ(picture.width, 400);
  EXPECT_EQ(picture.height, 300);
  EXPECT_EQ(pixel(picture, 11, 7), kBlue);
  EXPECT_EQ(pixel(picture, 12, 7), kWhite);
}

TEST(DrawMatrix, AveragesBlocksBeyondAThousand) {
  std::vector<float> weight(3 * 1001, 0.0f);
  weight[0] = 1;         // pixel (0, 0): one edge of four entries
  weight[2 * 1001] = 1;  // pixel (0, 1): one of two, the matrix ends after row 2
  const Picture picture = draw_matrix(3, 1001, weight, {});
  EXPECT_EQ(picture.width, 501);
  EXPECT_EQ(picture.height, 2);
  EXPECT_EQ(pixel(picture, 0, 0), (Color{201, 216, 250}));  // (37 + 3 * 255) / 4, ...
  EXPECT_EQ(pixel(picture, 0, 1), (Color{146, 177, 245}));  // (37 + 255) / 2, ...
  EXPECT_EQ(pixel(picture, 500, 0), kWhite);
}

TEST(DrawMatrix, OfNothingIsEmpty) {
  const Picture picture = draw_matrix(0, 5, {}, {});
  EXPECT_EQ(picture.height, 0);
  EXPECT_TRUE(picture.rgb.empty());
}

TEST(DrawMatrix, RefusesAWrongNumberOfEntries) {
  const std::vector<float> weight(5);
  const std::vector<uint8_t> usable(6);
  try {
    draw_matrix(2, 3, weight, usable);
    FAIL() << "nothing was thrown";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(),
                 "draw_matrix: expected weight_in_use and usable of out * in = 6 entries, got 5 "
                 "and 6");
  }
}

WiringView small_view() {
  WiringView view;
  view.title = "Learned <wiring>";
  view.subtitle = "3 edges & more";
  view.columns = {{"in", 2}, {"", 1}, {"out", 2}};
  view.edges = {{0, 2, 1.0f}, {1, 2, -0.5f}, {2, 4, 0.1f}};
  return view;
}

TEST(DrawWiringSvg, DrawsEveryChannelAndEdge) {
  const std::vector<WiringView> views = {small_view()};
  const std::string svg = draw_wiring_svg(views);
  EXPECT_EQ(svg.rfind("<svg xmlns=\"http://www.w3.org/2000/svg\"", 0), 0u);
  EXPECT_EQ(count(svg, "<circle "), 5);
  EXPECT_EQ(count(svg, "C"), 3);                                 // one curve an edge
  EXPECT_EQ(count(svg, "fill=\"none\" stroke=\"#2563eb\""), 2);  // two strengths of positive edges
  EXPECT_EQ(count(svg, "fill=\"none\" stroke=\"#ea580c\""), 1);
  EXPECT_THAT(svg, testing::HasSubstr(">Learned &lt;wiring&gt;</text>"));
  EXPECT_THAT(svg, testing::HasSubstr(">3 edges &amp; more</text>"));
  EXPECT_THAT(svg, testing::HasSubstr(">out</text>"));
}

TEST(DrawWiringSvg, CurvesGoFromSourceToTarget) {
  WiringView view = small_view();
  view.edges = {{0, 2, 1.0f}};
  const std::string svg = draw_wiring_svg(std::vector{view});
  // The middle of the panel is the place of channel 2, the only one of its column.
  EXPECT_THAT(svg,
              testing::ContainsRegex("<path d=\"M44 [0-9.]+C132.2 [0-9.]+ 151.8 269 240 269\"/>"));
}

TEST(DrawWiringSvg, DrawsTheWeakestEdgesFirst) {
  const std::string svg = draw_wiring_svg(std::vector{small_view()});
  const size_t weak = svg.find("stroke-opacity=\"0.19");
  const size_t strong = svg.find("stroke-opacity=\"0.95");
  ASSERT_NE(weak, std::string::npos);
  ASSERT_NE(strong, std::string::npos);
  EXPECT_LT(weak, strong);
}

TEST(DrawWiringSvg, ChannelsWithoutAnEdgeArePale) {
  const std::string svg = draw_wiring_svg(std::vector{small_view()});
  const size_t pale = svg.find("<g fill=\"#cbd5e1\">"), dark = svg.find("<g fill=\"#1e293b\">");
  EXPECT_EQ(count(svg.substr(pale, dark - pale), "<circle "), 1);  // channel 3
}

TEST(DrawWiringSvg, PutsPanelsSideBySide) {
  const std::vector<WiringView> views(3, small_view());
  const std::string svg = draw_wiring_svg(views);
  EXPECT_EQ(count(svg, "translate("), 3);
  EXPECT_THAT(svg, testing::HasSubstr("translate(24 24)"));
  EXPECT_THAT(svg, testing::HasSubstr("translate(528 24)"));
  EXPECT_THAT(svg, testing::HasSubstr("width=\"1536\""));
}

TEST(DrawWiringSvg, IsSelfContainedAndSmall) {
  WiringView view;
  view.columns = {{"", 200}, {"", 120}};
  for (int64_t i = 0; i < 3000; ++i) {
    view.edges.push_back({i % 200, 200 + i % 120, static_cast<float>(i % 17) - 8});
  }
  const std::string svg = draw_wiring_svg(std::vector{view});
  EXPECT_LT(svg.size(), 300'000u);
  EXPECT_EQ(count(svg, "href"), 0);
  EXPECT_EQ(count(svg, "<script"), 0);
  EXPECT_EQ(count(svg, "url("), 0);
  EXPECT_EQ(count(svg, "nan"), 0);
}

TEST(DrawWiringSvg, DrawsWhatHasNoEdgesOrColumns) {
  WiringView view;
  EXPECT_EQ(count(draw_wiring_svg(std::vector{view}), "<circle "), 0);
  view.columns = {{"only", 1}};
  view.edges = {{0, 0, 0.0f}};
  EXPECT_EQ(count(draw_wiring_svg(std::vector{view}), "nan"), 0);
  EXPECT_THAT(draw_wiring_svg({}), testing::HasSubstr("</svg>"));
}

TEST(DrawWiringSvg, RefusesAnEdgeToNowhere) {
  WiringView view = small_view();
  view.edges.push_back({1, 5, 1.0f});
  try {
    draw_wiring_svg(std::vector{view});
    FAIL() << "nothing was thrown";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(),
                 "draw_wiring_svg: edge (1, 5) of 'Learned <wiring>', expected channels below 5");
  }
}

TEST(Stack, PutsPicturesBelowEachOtherOnWhite) {
  const Picture blue{1, 1, {37, 99, 235}}, orange{2, 1, {234, 88, 12, 234, 88, 12}};
  const Picture pictures[] = {blue, orange};
  const Picture all = stack(pictures);
  EXPECT_EQ(all.width, 2);
  EXPECT_EQ(all.height, 1 + 8 + 1);
  EXPECT_EQ(pixel(all, 0, 0), kBlue);
  EXPECT_EQ(pixel(all, 1, 0), kWhite);
  EXPECT_EQ(pixel(all, 0, 8), kWhite);
  EXPECT_EQ(pixel(all, 1, 9), kOrange);
  EXPECT_EQ(stack({}).height, 0);
}

TEST(WiringDot, NamesNodesAndWeights) {
  const WiringView view{"a\"b", "2 edges in use", {{"", 2}, {"", 1}}, {{0, 2, 0.5f}, {0, 1, -2}}};
  EXPECT_EQ(wiring_dot({&view, 1}),
            "digraph wiring {\n"
            "  rankdir = LR;\n"
            "  node [shape = circle];\n"
            "  subgraph cluster_0 {\n"
            "    label = \"a\\\"b: 2 edges in use\";\n"
            "    \"a\\\"b/0\" [label = \"0\"];\n"
            "    \"a\\\"b/1\" [label = \"1\"];\n"
            "    \"a\\\"b/2\" [label = \"2\"];\n"
            "    \"a\\\"b/0\" -> \"a\\\"b/2\" [label = \"0.5\", color = \"#2563eb\"];\n"
            "    \"a\\\"b/0\" -> \"a\\\"b/1\" [label = \"-2\", color = \"#ea580c\"];\n"
            "  }\n"
            "}\n");
}

}  // namespace
}  // namespace rewire::graph
