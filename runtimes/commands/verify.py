"""``python -m runtimes verify ARTIFACT``: the artifact's own proof, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes.cli import Parser
from runtimes.commands.common import notes
from runtimes.contract import Verdict
from runtimes.errors import DeviceMismatchError, DeviceUnavailableError, UsageError
from runtimes.printable import note

if TYPE_CHECKING:
    from rich.table import Table

    from runtimes.verdicts import Record

EPILOG = """\
exit codes: 0 proved, 1 it cannot be tried here, 2 it differs from PyTorch here, and is refused from now on.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the proof on one device or on all, print what was found; returns the exit code."""
    parser = Parser(
        prog="python -m runtimes verify",
        description="Prove on this machine that an artifact still computes the network, without PyTorch.",
        epilog=EPILOG,
    )
    parser.add_argument("artifact", type=Path, help="artifact folder, made by python -m export")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--device", help="for example cpu, cuda:0, vulkan:0 (default: that of the backend)")
    which.add_argument("--all", action="store_true", help="every device of the backend, software drivers too")
    args = parser.parse_args(arguments)
    with notes():
        records = _all(args.artifact) if args.all else [_one(args.artifact, args.device)]
    return 2 if any(record.verdict is Verdict.FAILED for record in records) else 0


def _one(path: Path, device: str | None) -> Record:
    from runtimes.registry import verify

    record = verify(path, device=device)
    _print(record)
    return record


def _all(path: Path) -> list[Record]:
    """Every device that can be used; why the others cannot goes to standard error.

    Raises:
        UsageError: there is none.
    """
    from runtimes.artifact import read_manifest
    from runtimes.registry import backend

    module = backend(read_manifest(path).backend)
    if reason := module.missing():
        raise UsageError(reason)
    records = []
    for device in module.devices():
        if device.reason:
            note(f"{device.name}: not run: {device.reason}")
            continue
        try:
            records.append(_one(path, device.name))
        except (DeviceMismatchError, DeviceUnavailableError) as error:
            note(f"{device.name}: not run: {error}")
    if not records:
        raise UsageError(f"{path} can be run on no device here")
    return records


def _print(record: Record) -> None:
    from rich.console import Console

    conditions, machine = record.conditions, record.conditions.machine
    console = Console(markup=False, highlight=False)
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    where = machine.device or machine.processor
    driver = f", driver {machine.driver}" if machine.driver else ""
    console.print(f"{conditions.device}: {where}{driver}, {versions}, {conditions.arithmetic}", soft_wrap=True)
    if record.results:
        console.print(_table(record), soft_wrap=True)
    reason = f": {record.reason}" if record.reason else ""
    console.print(f"{conditions.device} ({conditions.arithmetic}): {record.verdict}{reason}", soft_wrap=True)


def _table(record: Record) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for heading in ("size", "t", "asked for", "PSNR dB", "max error", "block error", "verdict"):
        right = heading in ("t", "PSNR dB", "max error", "block error")
        table.add_column(heading, justify="right" if right else "left")
    for result in record.results:
        table.add_row(
            str(result.size),
            f"{result.t:g}",
            "with others" if result.together else "alone",
            f"{result.psnr:.1f}",
            f"{result.max_error:.1e}",
            f"{result.block_error:.1e}",
            Verdict.FAILED if result.trouble else Verdict.PASSED,
        )
    return table
