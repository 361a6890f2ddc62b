"""``python -m runtimes artifacts``: what comes with this package, and whether it runs here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtimes import shipped
from runtimes.artifact import read_manifest
from runtimes.cli import Parser
from runtimes.commands.common import notes
from runtimes.contract import Verdict
from runtimes.errors import BackendError
from runtimes.printable import printable

EPILOG = """\
The first in this list that passes is taken where --artifact is left out, and by runtimes.load() without a path; one
that was never proved here is proved then. For other sizes, precisions and targets: python -m export.
"""


def main(arguments: Sequence[str]) -> int:
    """Print one line for each artifact, in the order in which they are tried."""
    parser = Parser(
        prog="python -m runtimes artifacts",
        description="List the artifacts that come with this package, in the order in which they are tried.",
        epilog=EPILOG,
    )
    parser.add_argument("--device", help="for example cpu, cuda:0 (default: that of each backend)")
    args = parser.parse_args(arguments)
    with notes():
        rows: list[tuple[str, ...]] = [("name", "backend", "precision", "sizes", "MB", "here")]
        rows += [_row(item.folder, args.device) for item in shipped.PREFERENCE]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [f"{cell:{width}}" for cell, width in zip(row[:-1], widths, strict=True)]
        print(printable("  ".join([*cells, row[-1]])))
    print(printable(f"They are in {shipped.FOLDER}"))
    return 0


def _row(folder: Path, device: str | None) -> tuple[str, ...]:
    manifest = read_manifest(folder)
    megabytes = sum(int(entry["bytes"]) for entry in manifest.files.values()) / 1e6
    facts = (manifest.name, manifest.backend, str(manifest.precision), str(manifest.sizes), f"{megabytes:.1f}")
    return (*facts, _here(folder, device))


def _here(folder: Path, device: str | None) -> str:
    """The verdict that holds here, or why it cannot run."""
    from runtimes.registry import verdict_here

    try:
        spec, belief = verdict_here(folder, device)
    except BackendError as error:
        return f"cannot run: {error}"
    where = f"on {spec.device} ({spec.arithmetic})"
    if belief.verdict is Verdict.PASSED:
        return f"passed {where}" + ("" if belief.own else ", by the manifest: such a machine proved it")
    return f"{belief.verdict} {where}" + (f": {belief.reason}" if belief.reason else "")
