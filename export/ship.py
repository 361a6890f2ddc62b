"""``python -m export ship``: make the artifacts that come with the package, from the built-in checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export.options import DYNAMIC_RANGE, ExportOptions
from export.targets import target
from runtimes.cli import Parser
from runtimes.contract import Verdict
from runtimes.errors import UsageError
from runtimes.shipped import FOLDER, MODEL, PREFERENCE, Shipped

if TYPE_CHECKING:
    from export.pipeline import Outcome


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m export ship",
        description=f"Make the artifacts that come with the package: {', '.join(item.name for item in PREFERENCE)}.",
    )
    result.add_argument("--out", type=Path, default=FOLDER, help="folder for the artifacts (default: the package's)")
    result.add_argument("--force", action="store_true", help="replace artifacts that exist")
    return result


def main(arguments: Sequence[str]) -> int:
    """Build each and print its verdict; returns the exit code."""
    args = parser().parse_args(arguments)
    for item in PREFERENCE:
        if reason := target(item.target).missing():
            raise UsageError(f"target {item.target}: {reason}")
    outcomes = [_build(item, args.out, force=args.force) for item in PREFERENCE]
    for outcome in outcomes:
        print(f"{outcome.path}: {outcome.bytes / 1e6:.1f} MB, {outcome.verdict}")
    return 0 if all(outcome.verdict is Verdict.PASSED for outcome in outcomes) else 2


def options_of(item: Shipped, out: Path, *, force: bool) -> ExportOptions:
    """The export that makes a shipped artifact."""
    return ExportOptions(
        targets=(item.target,),
        precisions=(item.precision,),
        model=MODEL,
        sizes=DYNAMIC_RANGE,
        out=out,
        force=force,
    )


def _build(item: Shipped, out: Path, *, force: bool) -> Outcome:
    from export.pipeline import Pipeline

    pipeline = Pipeline(options_of(item, out, force=force), print)
    (job,) = pipeline.jobs()
    assert job.name == item.name
    return pipeline.build(job)
