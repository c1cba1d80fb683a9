"""The table that people read: a line a row of bench.json."""

from collections.abc import Mapping

COLUMNS = "{:4} {:32} {:18} {:>9} {:>9} {:>8} {:>6} {:>6} {:>7}  {}"
HEAD = COLUMNS.format(
    "goal", "case", "against", "theirs ms", "ours ms", "ratio", "goal", "moon", "spread", ""
)


def number(value: float | None) -> str:
    """Three digits of a figure; - for none."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def line(row: Mapping[str, object]) -> str:
    """A row of the table."""
    if "failure" in row:
        return f"{row['goal']:4} {row['case']:32} {row['failure']}"
    return COLUMNS.format(
        row["goal"],
        row["case"],
        row["against"],
        number(row["theirs_ms"]),
        number(row["ours_ms"]),
        number(row["ratio"]),
        number(row["target"]),
        number(row["moonshot"]),
        f"{row['spread']:.1%}",
        row["verdict"],
    ).rstrip()
