"""``python -m benchmarks plot``: latency against lost PSNR, one point a row, from saved results."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.report.results_file import NAIVE, Kind, Results, load_results, using
from runtimes.atomic import replacing
from runtimes.cli import Parser
from runtimes.registry import BACKENDS

EPILOG = """\
examples:
  python -m benchmarks plot benchmarks/results/amd-epyc-avx512-bf16-2-cores/latency-ifrnet_s-1280x720.json
  python -m benchmarks plot cpu.json --out cpu.svg
"""

SUFFIXES = (".png", ".svg", ".pdf")

COLOURS = {"pytorch": "#555555", **{name: module.ABOUT.colour for name, module in BACKENDS.items()}}

MARKERS = {"fp32": "o", "fp16": "s", "bf16": "D", "int8": "^"}

LABEL_HEIGHTS = 6

LINEAR = 1e-3
"""Losses below this, in dB, are drawn on a linear scale: nobody can tell them from none."""


def configure(parser: Parser) -> None:
    """The options of ``plot``."""
    parser.add_argument("results", type=Path, help="JSON of python -m benchmarks latency")
    parser.add_argument("--out", type=Path, help="picture to write, .png, .svg or .pdf (default: beside the results)")


def execute(args: argparse.Namespace) -> int:
    """Draw one file."""
    results = load_results(args.results, Kind.LATENCY)
    out = args.out or args.results.with_suffix(".png")
    if out.suffix not in SUFFIXES:
        raise BenchmarkError(f"--out {out}: expected a name that ends in {', '.join(SUFFIXES)}")
    with using(args.results):
        draw(results, out)
    print(f"wrote {out}")
    return 0


def require_matplotlib() -> None:
    """Raises BenchmarkError where it is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise BenchmarkError("matplotlib, which draws the plot, is not installed: pip install 'ifrnet-export[bench]'")


def draw(results: Results, path: Path) -> None:
    """One point a measured row; the file appears only when it is whole.

    Raises:
        BenchmarkError: matplotlib is missing, or no row was measured.
    """
    rows = [row for row in results.rows if row["median_ms"] is not None and row.get("psnr_loss") is not None]
    if not rows:
        raise BenchmarkError("no row of these results was measured, so there is nothing to draw")
    require_matplotlib()
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "ifrnet"  # the same picture for the same results
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    axes = figure.add_subplot()
    for number, row in enumerate(sorted(rows, key=lambda row: row["median_ms"])):
        _point(axes, row, number)
    settings = results.settings
    axes.set_title(f"{settings['model']} at {settings['size']}, CPU threads: {settings['threads']}")
    known = any(row.get("limit_share") is not None for row in rows)
    share = "; % is the share of the fastest matrix product of that arithmetic" if known else ""
    axes.set_xlabel(f"median latency (ms), lower is better{share}")
    axes.set_ylabel("PSNR loss against fp32 PyTorch (dB), lower is better")
    axes.set_xlim(0.0, 1.25 * max(row["median_ms"] for row in rows))
    axes.set_yscale("symlog", linthresh=LINEAR, linscale=0.6)
    axes.set_ylim(-0.1 * LINEAR, max(10.0 * LINEAR, 5.0 * max(row["psnr_loss"] for row in rows)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    _legend(figure, rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def _point(axes: Any, row: Mapping[str, Any], number: int) -> None:
    """One row; names stand at staggered heights, because float32 rows lie side by side."""
    hollow = row.get("verdict") == "failed" or row.get("form") == NAIVE
    colour = COLOURS.get(row["backend"], "black")
    x, y = row["median_ms"], row["psnr_loss"]
    axes.scatter(
        x,
        y,
        s=60,
        marker=MARKERS.get(row["precision"], "o"),
        facecolors="none" if hollow else colour,
        edgecolors=colour,
        zorder=3,
    )
    text = f"{row['backend']} {row['precision']}" + (f" {row['device']}" if row["device"] != "cpu" else "")
    text += f" ({NAIVE})" if row.get("form") == NAIVE else ""
    text += f", {row['limit_share']:.0%}" if row.get("limit_share") is not None else ""
    axes.annotate(
        text + (" (failed parity)" if row.get("verdict") == "failed" else ""),
        (x, y),
        textcoords="offset points",
        xytext=(8, 10 + 13 * (number % LABEL_HEIGHTS)),
        arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "#888888", "relpos": (0.0, 0.0)},
        fontsize=8,
    )


def _legend(figure: Any, rows: list[Mapping[str, Any]]) -> None:
    """Precisions by marker, below the axes, where no label can be; backends stand beside their points."""
    from matplotlib.lines import Line2D

    precisions = dict.fromkeys(row["precision"] for row in rows)
    handles = [
        Line2D([], [], linestyle="", marker=MARKERS.get(name, "o"), color="#888888", label=name) for name in precisions
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
