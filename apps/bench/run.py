"""Benchmarks against peers: prints the table of ratios and writes bench.json.

    make bench              what the goals ask for, on all cores: a few minutes
    make bench FULL=1       more densities and sizes, with 1 and 2 threads, and plots

    run.py [--device cuda] [--only C6 C8] [--threads N] [--full] [--seconds S] [--to build/bench.json]

Results are compared with float64 before anything is timed; a case whose results are wrong makes the
exit status 1. A ratio is their time over ours. It counts if the spread, of a contender against
itself, is below 10 %.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "python"))

import cases_auto  # noqa: E402
import cases_cuda  # noqa: E402
import cases_forward  # noqa: E402
import cases_graph  # noqa: E402
import cases_loader  # noqa: E402
import cases_mobilenet_v1  # noqa: E402
import cases_select  # noqa: E402
import cases_static  # noqa: E402
import cases_training  # noqa: E402
import cases_transformer  # noqa: E402
import contest  # noqa: E402
import machine  # noqa: E402
import plot  # noqa: E402
import table  # noqa: E402

GROUPS = (
    cases_forward,
    cases_training,
    cases_select,
    cases_static,
    cases_mobilenet_v1,
    cases_auto,
    cases_transformer,
    cases_graph,
    cases_loader,
)
ON_CUDA = (cases_cuda,)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--only", nargs="+", metavar="GOAL", help="these goals, C1 C6 ...")
    parser.add_argument("--threads", type=int, help="compute threads (default: torch's)")
    parser.add_argument("--full", action="store_true", help="sweep densities, sizes and threads")
    parser.add_argument(
        "--seconds", type=float, default=6, help="more rounds of a noisy case for so long"
    )
    parser.add_argument("--to", type=Path, default=Path("build/bench.json"), help="file to write")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU")
    return options


def cases(only: list[str] | None, full: bool) -> Iterator[contest.Case]:
    """All cases, or those with rows of the goals named."""
    for group in ON_CUDA if torch.get_default_device().type == "cuda" else GROUPS:
        for case in group.cases(full):
            if only is None or set(only) & set(case.goals):
                yield case


def write(report: dict[str, object], to: Path) -> None:
    """bench.json."""
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps(report, indent=1) + "\n")


def run(options: argparse.Namespace) -> dict[str, object]:
    """Measure with one number of threads."""
    torch.set_default_device(options.device)
    torch.backends.cudnn.allow_tf32 = False  # nobody may round what is compared
    machine.plain_executor()
    about = machine.describe()
    for name, value in about.items():
        print(f"{name:20} {table.number(value) if isinstance(value, float) else value}")
    if about["cores_used_by_others"] > 0.25:
        print("others use this machine: the times of contenders with several threads mean little")
    for peer in ("scipy", "sparselab", "torchvision"):
        if about[peer] is None:
            print(f"{peer} is not installed: no rows against it")
    print("The product of scipy has no threads.", table.HEAD, sep="\n\n")
    found = []
    for case in cases(options.only, options.full):
        for row in contest.measure(case, options.seconds):
            found.append(row)
            print(table.line(row), flush=True)
    if options.only and not found:
        sys.exit(f"run.py: no row is of {', '.join(options.only)} on {options.device}")
    return {"machine": about, "rows": found}


def sweep(options: argparse.Namespace) -> dict[str, object]:
    """Measure with two threads and with one, each in a process of its own: peers read the number
    of threads when they start."""
    reports = []
    with tempfile.TemporaryDirectory() as folder:
        for threads in sorted({1, min(2, len(os.sched_getaffinity(0)))}, reverse=True):
            to = Path(folder) / f"{threads}.json"
            own = ["--threads", str(threads), "--to", str(to)]
            subprocess.run([sys.executable, __file__, *sys.argv[1:], *own], check=False)
            reports.append(json.loads(to.read_text()))
    return {"machine": reports[0]["machine"], "rows": sum((r["rows"] for r in reports), [])}


def main() -> int:
    """0; 1 where a result is wrong."""
    options = arguments()
    if options.full and options.threads is None:
        report = sweep(options)
        plot.draw(report, options.to.parent)
    else:
        machine.restart_tuned(options.threads or torch.get_num_threads())
        report = run(options)
    write(report, options.to)
    wrong = [row for row in report["rows"] if not row["equal"]]
    for row in wrong:
        print(f"wrong: {table.line(row)}", file=sys.stderr)
    print(f"{options.to}: {len(report['rows'])} rows, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
