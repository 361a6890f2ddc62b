"""``python -m benchmarks index``: the latency of all machines side by side, as the README of the results."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.report.machine_folder import RESULTS
from benchmarks.report.results_file import NAIVE, Kind, Results, load_results, using, write_text
from runtimes.cli import Parser

EPILOG = """\
examples:
  python -m benchmarks index
  python -m benchmarks index my-results
"""

NAME = "README.md"

HEAD = """\
# Results by machine

Written by `python -m benchmarks index` from the files in the folders; `make bench` measures. Each cell is how many
times as fast as PyTorch as published (eager, NCHW) a row was in the same run, and its share of the machine's limit: the
network's GFLOP/s over the fastest matrix product in the row's arithmetic, of int8 where an int8 network has float
layers. `?` stands where the limit was not measured. Rows whose proof failed are left out."""


def configure(parser: Parser) -> None:
    """The options of ``index``."""
    parser.add_argument(
        "folder", type=Path, nargs="?", default=RESULTS, help="with a folder for each machine (default: %(default)s)"
    )


def execute(args: argparse.Namespace) -> int:
    """Read all files, write the README beside their folders."""
    write_text(args.folder / NAME, index(args.folder))
    print(f"wrote {args.folder / NAME}")
    return 0


def index(folder: Path) -> str:
    """The document.

    Raises:
        BenchmarkError: there are no results, or one of them cannot be read.
    """
    paths = sorted(folder.glob("*/latency-*.json"))
    if not paths:
        raise BenchmarkError(
            f"{folder} holds no MACHINE/latency-*.json: python -m benchmarks latency --save writes one"
        )
    found = {path: load_results(path, Kind.LATENCY) for path in paths}
    videos = {path: load_results(path, Kind.VIDEO) for path in sorted(folder.glob("*/video-*.json"))}
    for path, results in found.items():
        with using(path):  # each alone first, so that what is wrong with one names it
            _order(results)
            _machines({path: results})
            _table({path: results})
    for path, results in videos.items():
        with using(path):
            _videos({path: results})
    names = list(dict.fromkeys(path.name for path in sorted(paths, key=lambda path: _order(found[path]))))
    parts = [HEAD, *_machines(found)]
    for name in names:
        parts += ["", *_table({path: results for path, results in found.items() if path.name == name})]
    return "\n".join([*parts, *_videos(videos)]) + "\n"


def _order(results: Results) -> tuple[str, int, str]:
    """By model, then by the number of pixels."""
    width, _, height = str(results.settings["size"]).partition("x")
    return str(results.settings["model"]), int(width) * int(height), width


def _machines(found: Mapping[Path, Results]) -> list[str]:
    """A line for each machine: what it is, how fast it multiplies, and when that was measured last."""
    lines = [
        "",
        "| machine | processor | GFLOP/s of matrix products | copy GB/s | measured |",
        "|---|---|---|---:|---|",
    ]
    for folder in dict.fromkeys(path.parent for path in found):
        latest = max((found[path] for path in found if path.parent == folder), key=lambda results: results.created)
        products = latest.summary.get("products_gflops", {})
        speeds = ", ".join(f"{kind} {max(speeds.values()):.0f}" for kind, speeds in products.items()) or "?"
        machine = latest.environment
        copy = latest.summary.get("copy_gbps")
        cells = (
            folder.name,
            f"{machine['cpu']}, cores: {machine['cores']}",
            speeds,
            "?" if copy is None else f"{copy:.1f}",
            latest.created[:10],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _table(found: Mapping[Path, Results]) -> list[str]:
    """One model at one size on every machine; a row that is the fastest somewhere stands above one that is nowhere."""
    cells = {path: _cells(results) for path, results in found.items()}
    best: dict[str, float] = {}
    for column in cells.values():
        for name, (ratio, _) in column.items():
            best[name] = max(best.get(name, 0.0), ratio)
    first = next(iter(found.values())).settings
    links = " | ".join(f"[{path.parent.name}]({path.parent.name}/{path.stem}.md)" for path in found)
    lines = [f"## {first['model']} at {first['size']}", "", f"| | {links} |", f"|---|{'---:|' * len(found)}"]
    for name in sorted(best, key=lambda name: -best[name]):
        texts = (column.get(name, (0.0, "-"))[1] for column in cells.values())
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return lines


def _videos(found: Mapping[Path, Results]) -> list[str]:
    """Whole videos, a line for each row on each machine; nothing where none was measured."""
    if not found:
        return []
    lines = ["", "## Whole videos, decoded and encoded", "", "Each file says which frames these were.", ""]
    lines += [
        "| machine | clip | size | made by | made fps | of inference | PSNR dB |",
        "|---|---|---|---|---:|---:|---:|",
    ]
    for path, results in found.items():
        for row in results.rows:
            if row["fps"] is None:
                continue
            share, quality = row.get("infer_share"), row["psnr"]
            cells = (
                f"[{path.parent.name}]({path.parent.name}/{path.stem}.md)",
                str(results.settings["source"]),
                str(results.settings["size"]),
                " ".join(part for part in (row["backend"], row["precision"]) if part != "-"),
                f"{row['fps']:.3g}",
                "-" if share is None else f"{share:.0%}",
                "-" if quality is None else f"{quality:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cells(results: Results) -> dict[str, tuple[float, str]]:
    """Name of a row -> the ratio to PyTorch as published, and what stands in the cell."""
    published = results.summary["baseline"]["tried_ms"].get("NCHW")
    found = {}
    for row in results.rows:
        if row["median_ms"] is None or published is None or row.get("verdict") == "failed":
            continue
        share, ratio = row.get("limit_share"), published / row["median_ms"]
        found[_name(row)] = (ratio, f"{ratio:.2f}, {'?' if share is None else f'{share:.0%}'}")
    return found


def _name(row: Mapping[str, Any]) -> str:
    """The row, with the form where that makes it another one."""
    form = row.get("form") or ""
    shown: Sequence[str] = [row["backend"], row["precision"], row["device"] if row["device"] != "cpu" else ""]
    ran = row.get("arithmetic") or row["precision"]
    note = f" (ran {ran})" if ran != row["precision"] else ""
    return " ".join(filter(None, shown)) + note + (f", {NAIVE}" if form == NAIVE else "")
