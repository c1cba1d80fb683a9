"""rewire visualize: the wiring as a picture."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

WIRED = {"model": "{kind: wired_mobilenet_v1, wiring: {kind: dnw, prune_rate: 0.9}}"}
SVG = "{http://www.w3.org/2000/svg}"


def visualize(rewire, to, *options, **settings):
    rewire("visualize", rewire.config, "--to", to, *options, **settings).check()
    return rewire.path(to)


def texts(path):
    return [text.text for text in ElementTree.parse(path).iter(f"{SVG}text")]


@pytest.mark.parametrize("settings", [WIRED, {"model__kind": "discrete"}, {}], ids=["mobilenet", "discrete", "static"])
def test_every_edge_is_in_the_json_and_drawn(rewire, settings):
    edges = rewire("profile", rewire.config, "--json", **settings).check().json["edges_in_use"]
    layers = json.loads(visualize(rewire, "wiring.json", **settings).read_text())["layers"]
    assert sum(len(layer["edges"]) for layer in layers) == edges
    for layer in layers:
        assert sum(layer["received"]) == sum(layer["sent"]) == len(layer["edges"])
        for source, target, weight in layer["edges"]:
            assert 0 <= source < layer["inputs"] and 0 <= target < layer["outputs"]
            assert isinstance(weight, (int, float))
    drawing = visualize(rewire, "wiring.svg", **settings)
    titles = texts(drawing)
    assert [layer["name"] for layer in layers] == [t for t in titles if t and "graph" in t]
    lines = [path for path in ElementTree.parse(drawing).iter(f"{SVG}path") if "C" in path.get("d")]
    assert len(lines) == sum(min(20000 // len(layers), len(layer["edges"])) for layer in layers)


def test_edges_of_a_convolution(rewire):
    settings = {"model": "{kind: resnet, depth: 18, wiring: {kind: dnw, prune_rate: 0.999}}"}
    layers = json.loads(visualize(rewire, "wiring.json", **settings).read_text())["layers"]
    first, second = layers[:2]
    assert (first["name"], first["inputs"], first["outputs"], first["taps"]) == ("conv1", 1, 64, 49)
    assert (second["inputs"], second["outputs"], second["taps"]) == (64, 64, 9)
    for layer in layers:
        assert len(layer["sent"]) == layer["inputs"] and sum(layer["sent"]) == len(layer["edges"])
        for source, target, _, *tap in layer["edges"]:
            assert source < layer["inputs"] and target < layer["outputs"]
            assert len(tap) == (layer["taps"] > 1) and all(0 <= t < layer["taps"] for t in tap)
    found = texts(visualize(rewire, "degrees.svg", "--show", "degrees", **settings))
    assert any(text and text.startswith("64 channels, ") for text in found)


def test_the_matrices_as_png(rewire):
    png = visualize(rewire, "wiring.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) == (68 * 7, 68 * 7)


def test_for_graphviz(rewire):
    dot = visualize(rewire, "wiring.dot").read_text()
    edges = rewire("profile", rewire.config, "--json").check().json["edges_in_use"]
    assert dot.startswith("digraph wiring {\n") and dot.count(" -> ") == edges


def test_degrees_and_dead_channels(rewire):
    layer = json.loads(visualize(rewire, "wiring.json").read_text())["layers"][0]
    found = texts(visualize(rewire, "degrees.svg", "--show", "degrees"))
    for what in ("received", "sent"):
        assert f"graph: {what}" in found
        mean, none = sum(layer[what]) / 68, layer[what].count(0)
        assert f"68 channels, {round(mean, 1):g} edges in the mean, {none} without" in found


def test_churn_of_a_run(rewire):
    checkpoint = rewire.train("run").check().json["checkpoint"]
    changed = [row["edges_changed"] for row in rewire.rows("run") if row["split"] == "train"]
    assert sum(changed) > 0
    drawn = texts(visualize(rewire, "churn.svg", "--show", "churn", "--checkpoint", checkpoint))
    assert f"{sum(changed)} edges changed in 3 epochs" in drawn
    rewire.path("run", "metrics.jsonl").write_text("no metrics\n")
    rewire("visualize", rewire.config, "--to", "churn.svg", "--show", "churn", "--checkpoint", checkpoint).refused(
        4, "metrics.jsonl:1: not a row of metrics"
    )


@pytest.mark.parametrize(
    "status, options, message",
    [
        (2, ["--to", "wiring.gif"], "--to: expected a name that ends in .svg, .png, .dot or .json, got 'wiring.gif'"),
        (2, ["--to", "d.png", "--show", "degrees"], "--to: expected a name that ends in .svg, got 'd.png'"),
        (2, ["--to", "c.svg", "--show", "churn"], "--show churn: needs the --checkpoint of a run"),
        (2, ["--to", "c.svg", "--show", "edges"], "--show"),
        (4, ["--to", "c.svg", "--show", "churn", "--checkpoint", "none/checkpoints/last.pt"], "no metrics of a run"),
        (2, ["--to", "w.svg", "--set", "model={kind: mobilenet_v1}"], "no wired layer"),
    ],
)
def test_refusals(rewire, status, options, message):
    rewire("visualize", rewire.config, *options).refused(status, message)
