"""``python -m benchmarks compare``: what became slower between two results, beyond what is noise."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.report.results_file import NAIVE, Kind, Results, load_results
from runtimes.cli import Parser
from runtimes.contract import Verdict
from runtimes.printable import printable

EPILOG = """\
exit codes: 0 nothing became slower, 1 files that cannot be compared, 2 a regression: a row slower by more than the
tolerance and by more than its noise, one that failed parity and passed before, or one that does not run any more.

examples:
  python -m benchmarks compare old.json new.json
  python -m benchmarks compare old.json new.json --tolerance 0.1
"""


class Change(StrEnum):
    """What happened to a row."""

    SAME = "same"
    FASTER = "faster"
    SLOWER = "SLOWER"
    WITHIN_NOISE = "within noise"
    PARITY = "FAILED PARITY"
    GONE = "GONE"
    NEW = "new"


REGRESSIONS = (Change.SLOWER, Change.PARITY, Change.GONE)

FIGURE = {Kind.LATENCY: "median_ms", Kind.THROUGHPUT: "fps", Kind.VIDEO: "fps"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row in both results.

    Attributes:
        old, new: the figure, None where it was not measured.
        ratio: how many times as slow it is now; None unless both were measured.
        noise: what the ratio may be off by, relative: the sum of both rows'. None where a row has one sample only;
            then the tolerance alone decides.
    """

    name: str
    old: float | None
    new: float | None
    ratio: float | None
    noise: float | None
    change: Change
    reason: str = ""


def configure(parser: Parser) -> None:
    """The options of ``compare``."""
    parser.add_argument("old", type=Path, help="results of before")
    parser.add_argument("new", type=Path, help="results of now, of the same kind")
    parser.add_argument(
        "--tolerance", type=float, default=0.05, help="slower by this share is a regression (default: 0.05)"
    )


def execute(args: argparse.Namespace) -> int:
    """Compare two files, print the table; 2 on a regression."""
    if not 0.0 <= args.tolerance <= 10.0:
        raise BenchmarkError(f"--tolerance {args.tolerance}: expected a share from 0 to 10, 0.05 for 5 %")
    old = load_results(args.old, *FIGURE)
    new = load_results(args.new, old.kind)
    check_settings(old, new)
    lines = compare(old, new, args.tolerance)
    _print(lines, differences(old, new), FIGURE[old.kind])
    return 2 if any(line.change in REGRESSIONS for line in lines) else 0


def check_settings(old: Results, new: Results) -> None:
    """Refuse ratios between different work.

    Raises:
        BenchmarkError: the frame size, the number of frames a call or the clip differs.
    """
    for key in ("size", "timesteps", "clip"):
        before, after = old.settings.get(key), new.settings.get(key)
        if before != after:
            raise BenchmarkError(
                f"the results have different work: {key} {before} before, {after} now: measure with the same --{key}"
            )


def differences(old: Results, new: Results) -> list[str]:
    """What else differs, so that a ratio is not blamed on the wrong thing."""
    found = []
    for part, keys in (
        ("settings", ("model", "checkpoint_sha256", "size", "threads", "timesteps")),
        ("environment", ("cpu", "cores", "gpus", "python", "packages")),
    ):
        before, after = getattr(old, part), getattr(new, part)
        found += [
            f"{key} differs: {_short(before.get(key))} before, {_short(after.get(key))} now"
            for key in keys
            if key != "packages" and before.get(key) != after.get(key)
        ]
    before, after = old.environment.get("packages", {}), new.environment.get("packages", {})
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return found + [f"{name} differs: {before.get(name)} before, {after.get(name)} now" for name in names]


def _short(value: Any) -> str:
    return str(value)[:60]


def compare(old: Results, new: Results, tolerance: float) -> list[Line]:
    """One line for every row that either has measured, in the order of the new results."""
    before = {_name(row): row for row in old.rows}
    after = {_name(row): row for row in new.rows}
    names = [*after, *(name for name in before if name not in after)]
    lines = (_line(name, before.get(name), after.get(name), old.kind, tolerance) for name in names)
    return [line for line in lines if line.old is not None or line.new is not None]


def _name(row: Mapping[str, Any]) -> str:
    """Form is left out: which of PyTorch's layouts is the faster may change, and the row stays the baseline.

    Only an export of the network as published has it: it is another network than the artifact beside it.
    """
    parts = [row.get(key) for key in ("backend", "precision", "device", "mode")]
    return " ".join(map(str, filter(None, [*parts, row["form"] if row.get("form") == NAIVE else ""])))


def _line(
    name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, kind: Kind, tolerance: float
) -> Line:
    key = FIGURE[kind]
    old, new = (None if row is None else row[key] for row in (before, after))
    reason = str((after or {}).get("reason") or ("" if after else "not among the rows any more"))
    ratio = noise = None
    if old is None or new is None:
        change = Change.NEW if old is None else Change.GONE
    else:
        assert before is not None
        assert after is not None
        ratio = new / old if kind is Kind.LATENCY else old / new
        known = [row["noise"] for row in (before, after) if row["noise"] is not None]
        noise = sum(known) if len(known) == 2 else None
        change = _classify(ratio, noise or 0.0, tolerance)
        if after.get("verdict") == Verdict.FAILED and before.get("verdict") != Verdict.FAILED:
            change = Change.PARITY
    return Line(name=name, old=old, new=new, ratio=ratio, noise=noise, change=change, reason=reason)


def _classify(ratio: float, noise: float, tolerance: float) -> Change:
    """Slower or faster has to stand out of the tolerance and of the noise."""
    slower, faster = ratio - 1.0, 1.0 / ratio - 1.0
    if max(slower, faster) <= tolerance:
        return Change.SAME
    if max(slower, faster) <= noise:
        return Change.WITHIN_NOISE
    return Change.SLOWER if slower > 0 else Change.FASTER


def _print(lines: list[Line], notes: list[str], figure: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("row", f"old {figure}", f"new {figure}", "x slower", "noise", "change"):
        table.add_column(heading, justify="left" if heading in ("row", "change") else "right", no_wrap=True)
    for line in lines:
        cells = [
            _cell(value, form)
            for value, form in zip((line.old, line.new, line.ratio), (".2f", ".2f", ".3f"), strict=True)
        ]
        noise = f"{line.noise:.1%}" if line.noise is not None else "-" if line.ratio is None else "unknown"
        style = "red" if line.change in REGRESSIONS else None
        table.add_row(printable(line.name), *cells, noise, line.change, style=style)
    console.width = max(console.width, 120)
    console.print(table)
    reasons = [f"{line.name}: {line.reason}" for line in lines if line.reason and line.change in REGRESSIONS]
    for text in (*reasons, *notes):
        console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
