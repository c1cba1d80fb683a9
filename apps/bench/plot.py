"""Pictures of bench.json, how ratios go with density and size, and lines in general. Plain SVG."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

Points = list[tuple[float, float]]

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 230, 56, 52
COLOURS = ("#2563eb", "#ea580c", "#059669", "#7c3aed", "#be123c", "#475569")

# file: title, label of x, goals, pattern that reads x from a case
PICTURES = {
    "bench-forward.svg": (
        "Sparse pointwise convolution, forward",
        "edges in use",
        ("C1", "C4"),
        r"^density=([\d.]+)$",
    ),
    "bench-training.svg": (
        "Forward and both gradients",
        "edges in use",
        ("C5",),
        r"density=([\d.]+)$",
    ),
    "bench-selection.svg": (
        "Choosing 5 % of the candidates",
        "candidates",
        ("C6", "C7"),
        r"^n=(\d+) ",
    ),
    "bench-auto.svg": ("What auto chooses", "edges in use", ("C15",), r"^density=([\d.]+)$"),
}


def draw(report: Mapping[str, object], folder: Path) -> None:
    """Write every picture that has at least one point."""
    about = f"{report['machine']['cpu']}, torch {report['machine']['torch']}"
    for name, (title, x_label, goals, pattern) in PICTURES.items():
        lines = series(report["rows"], goals, pattern)
        if lines:
            picture = svg(f"{title}: times faster than", x_label, lines, about, LOGARITHMIC)
            (folder / name).write_text(picture)


def series(
    rows: Sequence[Mapping[str, object]], goals: Sequence[str], pattern: str
) -> dict[str, Points]:
    """Points (x, ratio) by what was measured, of the first shape of each; only ratios that count."""
    found: dict[str, Points] = {}
    shapes: dict[str, str] = {}
    for row in rows:
        x = re.search(pattern, row["case"])
        if row["goal"] not in goals or x is None or row.get("verdict") in (None, "wrong", "noisy"):
            continue
        kind = (row["case"][: x.start()] + row["case"][x.end() :]).strip()
        threads = f"{row['threads']} thread" + "s" * (row["threads"] > 1)
        name = ", ".join(filter(None, (row["against"], kind, threads)))
        by_shape = pattern.startswith("^n=")  # there the shape is x
        if float(x[1]) > 0 and (by_shape or shapes.setdefault(name, row["shape"]) == row["shape"]):
            found.setdefault(name, []).append((float(x[1]), row["ratio"]))
    return {name: sorted(points) for name, points in found.items()}


STEPS = [m * 10.0**e for e in range(-6, 10) for m in (1, 2, 5)]


@dataclass(frozen=True)
class Axes:
    """How values become places: ticks(low, high) are the values written, place(value) is linear in
    pixels."""

    ticks: Callable[[float, float], list[float]]
    place: Callable[[float], float]


def _logarithmic_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... from the last one below `low` to the first one above `high`."""
    first = max(step for step in STEPS if step <= low * 1.0001)
    last = min(step for step in STEPS if step >= high * 0.9999)
    return [step for step in STEPS if first <= step <= last]


def _even_ticks(low: float, high: float) -> list[float]:
    """Multiples of 1, 2, 5, 10, ..., some six of them, from the last below `low`."""
    step = min(step for step in STEPS if step >= (high - low) / 6 and step > 0)
    first = math.floor(low / step)
    return [step * i for i in range(first, max(first + 1, math.ceil(high / step)) + 1)]


LOGARITHMIC = Axes(_logarithmic_ticks, math.log)
EVEN = Axes(_even_ticks, float)


def _scale(place: Callable[[float], float], ticks: Sequence[float], start: float, end: float):
    """From a value to pixels, so that the ticks span start .. end."""
    low, high = place(ticks[0]), place(ticks[-1])
    span = (high - low) or 1
    return lambda value: start + (place(value) - low) / span * (end - start)


def _text(x: float, y: float, text: str, anchor: str = "middle", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def svg(title: str, x_label: str, lines: Mapping[str, Points], about: str, axes: Axes) -> str:
    """One picture: a line each, with its name beside."""
    points = [point for line in lines.values() for point in line]
    x_ticks = axes.ticks(min(x for x, _ in points), max(x for x, _ in points))
    ys = [y for _, y in points] + ([1] if axes is LOGARITHMIC else [])  # ratios: 1 is in the picture
    y_ticks = axes.ticks(min(ys), max(ys))
    to_x = _scale(axes.place, x_ticks, LEFT, WIDTH - RIGHT)
    to_y = _scale(axes.place, y_ticks, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" fill="#1f2937">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 22, title, "start", 14),
        _text(LEFT, 38, about, "start", 11),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_label),
    ]
    for x in x_ticks:
        parts.append(_text(to_x(x), HEIGHT - BOTTOM + 18, f"{x:,g}"))
    for y in y_ticks:
        colour = "#6b7280" if y == 1 and axes is LOGARITHMIC else "#e5e7eb"
        parts.append(_line(LEFT, to_y(y), WIDTH - RIGHT, to_y(y), colour))
        parts.append(_text(LEFT - 8, to_y(y) + 4, f"{y:g}", "end"))
    for i, (name, line) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        pixels = [(to_x(x), to_y(y)) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in pixels]
        legend_y = TOP + 16 * i
        parts.append(_line(WIDTH - RIGHT + 12, legend_y, WIDTH - RIGHT + 28, legend_y, colour))
        parts.append(_text(WIDTH - RIGHT + 34, legend_y + 4, name, "start", 11))
    return "\n".join([*parts, "</svg>", ""])
