"""``python -m benchmarks parameters``: parameters, multiply-adds of each stage, and activation memory at a size."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from benchmarks.report.results_file import check_output, write_text
from export.options import DEFAULT_SIZE
from runtimes.cli import Parser, frame_size

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.speed.complexity import Complexity

EPILOG = """\
GMAC counts a multiply-add as one, GFLOP as two. The paper's "FLOPs" are multiply-adds, and somewhat higher than these.

examples:
  python -m benchmarks parameters
  python -m benchmarks parameters --variants ifrnet_s --size 1920x1080 --json parameters.json
"""

PAPER_TERA = MappingProxyType({"ifrnet_s": 0.12, "ifrnet": 0.21, "ifrnet_l": 0.79})
"""The paper's table 1, "FLOPs (T)" at 1280x720."""


def configure(parser: Parser) -> None:
    """The options of ``parameters``."""
    from ifrnet.variants import VARIANTS

    add = parser.add_argument
    add("--size", type=frame_size, default=DEFAULT_SIZE, help="frame size (default: %(default)s)")
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="default: all")
    add("--json", type=Path, metavar="PATH", help="write the figures")


def execute(args: argparse.Namespace) -> int:
    """Count, print, write."""
    check_output(args.json)
    from rich.console import Console

    from benchmarks.speed.complexity import complexity
    from ifrnet.variants import VARIANTS

    console = Console()
    found = [complexity(VARIANTS[name], args.size) for name in dict.fromkeys(args.variants)]
    for item in found:
        _print(console, item)
    if args.json:
        write_text(args.json, json.dumps([as_json(item) for item in found], indent=1) + "\n")
        console.print(f"wrote {args.json}", highlight=False, soft_wrap=True)
    return 0


def _print(console: Console, item: Complexity) -> None:
    from rich.table import Table

    padded = "" if item.padded == item.size else f" (the network sees {item.padded})"
    table = Table(title=f"{item.variant} at {item.size}{padded}", title_justify="left", box=None, pad_edge=False)
    for heading in ("stage", "parameters", "GMAC", "share", "conv. outputs MB"):
        table.add_column(heading, justify="left" if heading == "stage" else "right", no_wrap=True)
    for stage in item.stages:
        name = "encoder, twice" if stage.name == "encoder" else stage.name
        share = f"{stage.macs / item.macs:.1%}"
        table.add_row(
            name, f"{stage.parameters:,}", f"{stage.macs / 1e9:.2f}", share, f"{stage.output_bytes / 1e6:.1f}"
        )
    table.add_row("all", f"{item.parameters:,}", f"{item.macs / 1e9:.2f}", "", "", style="bold")
    console.print(table)
    gmac, weights_mb, live_mb = item.macs / 1e9, 4 * item.parameters / 1e6, item.peak_bytes / 1e6
    lines = (
        f"{gmac:.1f} GMAC = {2 * gmac:.1f} GFLOP in convolutions (warps, resizes and activations add under 1 %)",
        _paper(item),
        f"float32 weights {weights_mb:.1f} MB; activations alive at once in eager PyTorch {live_mb:.0f} MB, the "
        "library's own working memory not counted",
    )
    for line in (*lines, ""):
        console.print(line, highlight=False, soft_wrap=True)


def _paper(item: Complexity) -> str:
    if item.size != DEFAULT_SIZE:
        return "the paper has figures for 1280x720 only"
    return f'the paper says {PAPER_TERA[item.variant]} T "FLOPs" at this size, which are multiply-adds'


def as_json(item: Complexity) -> dict[str, Any]:
    """Plain numbers: counts, and bytes of float32."""
    return {
        "variant": item.variant,
        "size": str(item.size),
        "padded": str(item.padded),
        "parameters": item.parameters,
        "macs": item.macs,
        "flops": 2 * item.macs,
        "peak_activation_bytes": item.peak_bytes,
        "stages": [vars(stage) for stage in item.stages],
    }
