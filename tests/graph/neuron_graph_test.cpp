#include "graph/neuron_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error.h"

namespace rewire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// x and y to a and b, those to z; and x to z.
const std::vector<Edge> kEdges = {{"x", "a"}, {"y", "b"}, {"a", "b"}, {"b", "z"}, {"x", "z"}};
GraphOptions ends() {
  GraphOptions options;
  options.inputs = {"x", "y"};
  options.outputs = {"z"};
  return options;
}
Graph graph() { return Graph(kEdges, ends()); }

std::vector<int64_t> values(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<int64_t>(), tensor.const_data_ptr<int64_t>() + tensor.numel()};
}

TEST(NeuronGraph, NumbersNeuronsAsTheyAreNamed) {
  const Graph g = graph();
  EXPECT_THAT(g.neurons(), ElementsAre("x", "y", "a", "b", "z"));
  EXPECT_EQ(g.edges(), kEdges);
  EXPECT_THAT(values(g.sources()), ElementsAre(0, 1, 2, 3, 0));
  EXPECT_THAT(values(g.targets()), ElementsAre(2, 3, 3, 4, 4));
  EXPECT_EQ(g.level("x"), 0);
  EXPECT_EQ(g.level("b"), 2);
  EXPECT_EQ(g.level("z"), 3);
  GraphOptions options = ends();
  options.neurons = {"z", "alone"};
  EXPECT_THAT(Graph(kEdges, options).neurons(), ElementsAre("z", "alone", "x", "a", "y", "b"));
}

TEST(NeuronGraph, SaysWhatIsWrong) {
  const auto message = [](std::vector<Edge> edges,
                          const std::function<void(GraphOptions&)>& change) {
    GraphOptions options = ends();
    change(options);
    return test::error_of([&] { Graph(edges, options); });
  };
  const auto as_is = [](GraphOptions&) {};
  const auto with = [](Edge edge) {
    std::vector<Edge> edges = kEdges;
    edges.push_back(std::move(edge));
    return edges;
  };
  EXPECT_THAT(message(with({"b", "a"}), as_is),
              HasSubstr("the graph has a cycle: 'b' -> 'a' -> 'b'"));
  EXPECT_THAT(message(with({"a", "x"}), as_is),
              StartsWith("Graph: input 'x' has incoming edges, from 'a'"));
  EXPECT_THAT(message(with({"z", "a"}), as_is),
              StartsWith("Graph: output 'z' has outgoing edges, to 'a'"));
  EXPECT_THAT(message(with({"a", "b"}), as_is),
              StartsWith("Graph: edges are there twice: 'a' to 'b'"));
  EXPECT_THAT(message(kEdges, [](auto& o) { o.outputs = {}; }), HasSubstr("must be non-empty"));
  EXPECT_THAT(message(kEdges,
                      [](auto& o) {
                        o.inputs = {"x", "x"};
                      }),
              HasSubstr("inputs name a neuron twice: 'x'"));
  EXPECT_THAT(message(kEdges, [](auto& o) { o.outputs = {"w"}; }),
              HasSubstr("outputs are not in the graph: 'w'"));
  EXPECT_THAT(message(kEdges, [](auto& o) { o.outputs = {"x"}; }),
              HasSubstr("are inputs and outputs: 'x'"));
  EXPECT_THAT(message(kEdges, [](auto& o) { o.activation = "step"; }),
              HasSubstr("unknown activation 'step' of neuron 'a'"));
  EXPECT_THAT(message(kEdges, [](auto& o) { o.activations["w"] = "relu"; }),
              HasSubstr("activations of neurons not in the graph: 'w'"));
  EXPECT_THAT(message(kEdges, [](auto& o) { o.operations["w"] = 1; }),
              HasSubstr("operations of neurons not in the graph: 'w'"));
  GraphOptions parallel = ends();
  parallel.parallel = true;
  EXPECT_EQ(Graph(with({"a", "b"}), parallel).num_edges(), 6);
}

TEST(NeuronGraph, NeuronsOfOneOperationWaitForOneAnother) {
  GraphOptions options = ends();
  options.operations = {{"a", 7}, {"z", 7}};
  EXPECT_THAT(test::error_of([&] { Graph(kEdges, options); }), HasSubstr("cycle"));
  options.outputs = {"b", "z"};
  options.operations = {{"b", 7}, {"z", 7}};
  const Graph g({{"x", "a"}, {"a", "b"}, {"y", "z"}}, options);
  EXPECT_EQ(g.level("b"), 2);
  EXPECT_EQ(g.level("z"), 2);
}

TEST(NeuronGraph, AnEditKeepsTheOrderOfWhatSurvives) {
  const auto [next, changes] =
      graph().edit({.add_edges = {{"x", "b"}, {"a", "b"}, {"w", "c"}, {"c", "z"}},
                    .remove_edges = {{"x", "z"}, {"y", "z"}},
                    .add_hidden = {"c"},
                    .add_inputs = {"w"},
                    .add_outputs = {"u"},
                    .remove = {"y"}});
  EXPECT_THAT(next.neurons(), ElementsAre("x", "a", "b", "z", "c", "w", "u"));
  EXPECT_THAT(next.inputs(), ElementsAre("w", "x"));
  EXPECT_THAT(next.outputs(), ElementsAre("z", "u"));
  EXPECT_EQ(
      next.edges(),
      (std::vector<Edge>{{"x", "a"}, {"a", "b"}, {"b", "z"}, {"x", "b"}, {"w", "c"}, {"c", "z"}}));
  EXPECT_THAT(values(changes.edges), ElementsAre(0, 2, 3, -1, -1, -1));
  EXPECT_THAT(values(changes.neurons), ElementsAre(0, 2, 3, 4, -1, -1, -1));
  EXPECT_EQ(next.level("u"), 1);
}

TEST(NeuronGraph, AnEditNamesWhoIsNotThere) {
  const auto message = [](const GraphEdit& edit) {
    return test::error_of([&] { graph().edit(edit); });
  };
  EXPECT_THAT(message({.remove = {"w"}}),
              StartsWith("Graph: neurons to remove are not there: 'w'"));
  EXPECT_THAT(message({.add_hidden = {"a"}}), StartsWith("Graph: neuron 'a' is there already"));
  EXPECT_THAT(message({.add_edges = {{"x", "w"}}}), StartsWith("Graph: no neuron 'w'"));
  EXPECT_THAT(message({.remove_edges = {{"w", "z"}}}), StartsWith("Graph: no neuron 'w'"));
  EXPECT_THAT(message({.add_edges = {{"b", "a"}}}), HasSubstr("cycle"));
}

TEST(NeuronGraph, JsonGivesTheSameGraph) {
  GraphOptions options = ends();
  options.neurons = {"alone"};
  options.activations = {{"a", "tanh"}, {"z", "sigmoid"}};
  options.operations = {{"a", 3}};
  const Graph g(kEdges, options), same = Graph::from_json(g.to_json());
  EXPECT_EQ(same.to_json(), g.to_json());
  EXPECT_EQ(same.edges(), g.edges());
  EXPECT_THAT(g.to_json(),
              StartsWith(R"({"neurons":["alone","x","a","y","b","z"],"inputs":["x","y"])"));
  EXPECT_THAT(
      Graph::from_json(R"({"neurons": [1, 2], "inputs": [1], "outputs": [2], "edges": [[1, 2]],
                                   "activations": [null, "tanh"], "operations": [null, null]})")
          .neurons(),
      ElementsAre("1", "2"));
}

TEST(NeuronGraph, JsonOfAnotherFormIsRefused) {
  for (const auto& [text, message] : std::vector<std::pair<const char*, const char*>>{
           {"{", "expected a JSON object"},
           {"[]", "expected a JSON object"},
           {R"({"nodes": []})", "unknown key 'nodes'"},
           {R"({"inputs": 3})", "expected inputs as a list"},
           {R"({"inputs": [0.5]})", "expected names as text or integers"},
           {R"({"edges": [[1]], "inputs": [1]})", "expected edges as pairs"},
           {R"({"neurons": [1]})", "expected as many activations and operations as neurons"},
           {R"({"output_transform": "softmax"})", "expected no output_transform"},
           {R"({"parallel": 1})", "expected parallel as true or false"},
           {"{}", "inputs and outputs must be non-empty"}}) {
    EXPECT_THAT(test::error_of([&] { Graph::from_json(text); }), HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace rewire
