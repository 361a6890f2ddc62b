"""``python -m runtimes devices``."""

from __future__ import annotations

from collections.abc import Sequence

from runtimes.cli import Parser
from runtimes.registry import BACKENDS, backend


def main(arguments: Sequence[str]) -> int:
    """Print one line for each device of each backend."""
    Parser(prog="python -m runtimes devices", description="List backends and devices.").parse_args(arguments)
    rows = [row for name in BACKENDS for row in _rows(name)]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for name, device, state in rows:
        print(f"{name:{widths[0]}}  {device:{widths[1]}}  {state}")
    return 0


def _rows(name: str) -> list[tuple[str, str, str]]:
    module = backend(name)
    if reason := module.missing():
        return [(name, "-", f"missing: {reason}")]
    rows = []
    for device in module.devices():
        kind = " (software: right, and slow)" if device.software else ""
        state = f"missing: {device.reason}" if device.reason else f"ready: {device.description or device.name}{kind}"
        rows.append((name, device.name, state))
    return rows
