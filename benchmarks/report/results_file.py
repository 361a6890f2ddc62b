"""Results as they are saved: one JSON file with its settings, its environment and its rows."""

from __future__ import annotations

import json
import math
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from runtimes import atomic
from runtimes.json_text import parse_json
from runtimes.printable import MAX_REASON, one_line

FORMAT = 1
"""Raised when a reader of the version before would misunderstand a file."""

_LIMIT = 64 * 2**20


NAIVE = "naive export"
"""Form of a row that a user has without this project: see :mod:`benchmarks.speed.naive_export`."""


class Kind(StrEnum):
    """What was measured."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    VIDEO = "video"
    ACCURACY = "accuracy"


KEYS = {
    Kind.LATENCY: ("backend", "precision", "device", "median_ms", "p90_ms", "ratio", "psnr", "peak_mb", "noise"),
    Kind.THROUGHPUT: ("backend", "precision", "device", "mode", "fps", "noise"),
    Kind.VIDEO: ("backend", "precision", "device", "fps", "noise", "psnr"),
    Kind.ACCURACY: ("name",),
}
"""What every row of a kind has; null where it could not be measured."""

POSITIVE = ("median_ms", "fps")
"""What ratios are made of."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """One benchmark.

    Attributes:
        kind: see :class:`Kind`.
        command: the command line that measures this again.
        settings: model, size, threads and so on.
        environment: see :func:`benchmarks.report.environment.describe`.
        summary: what belongs to all rows: baseline, overhead, winner.
        rows: flat mappings, in the order of the table.
        created: UTC, ISO 8601.
    """

    kind: Kind
    command: str
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any] = field(default_factory=dict)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    format: int = FORMAT

    def save(self, path: Path) -> None:
        """Write JSON; the name appears only when the file is whole."""
        text = json.dumps(_plain(asdict(self)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_text(path, text)


def command_line(subcommand: str, arguments: Sequence[str]) -> str:
    """The command as a user types it."""
    return shlex.join(["python", "-m", "benchmarks", subcommand, *arguments])


def write_text(path: Path, text: str) -> None:
    """Write a file in one step, and its folder where that is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, text)


def check_output(path: Path | None) -> None:
    """Find out before anything is measured that results could not be written.

    Raises:
        BenchmarkError: the name does not end in ``.json`` (Markdown and plot take its place), or is a folder's.
        OSError: the folder cannot be made or written to.
    """
    if path is None:
        return
    if path.suffix != ".json" or path.is_dir():
        raise BenchmarkError(f"--json {path}: expected the name of a file that ends in .json")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def load_results(path: Path, *kinds: Kind) -> Results:
    """Read a results file.

    Args:
        path: the JSON file.
        kinds: those that the caller can use.

    Raises:
        BenchmarkError: not one of ours, of another format version, or of another kind.
    """
    if not path.is_file():
        raise BenchmarkError(f"{path}: no such file; python -m benchmarks latency --json {path} writes one")
    if path.stat().st_size > _LIMIT:
        raise BenchmarkError(f"{path} is {path.stat().st_size} bytes; a results file has at most {_LIMIT}")
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{path} is not a results file: {one_line(error, MAX_REASON)}") from error
    if not isinstance(data, dict) or "format" not in data or "rows" not in data:
        raise BenchmarkError(f"{path} is not a results file: it has no format and rows; --json writes them")
    if data["format"] != FORMAT:
        raise BenchmarkError(
            f"{path} has format {data['format']!r}, this version reads {FORMAT}: measure again, or read it with the "
            "version that wrote it"
        )
    with using(path):
        results = _parse(data)
    if results.kind not in kinds:
        wanted = " or ".join(kinds)
        raise BenchmarkError(f"{path} holds {results.kind} results; expected {wanted}: give a file of that kind")
    return results


@contextmanager
def using(path: Path) -> Iterator[None]:
    """Raises BenchmarkError for what the file ``path`` lacks, or has of another type than the block needs."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = one_line(error, MAX_REASON)
        raise BenchmarkError(f"{path} is not a results file: {type(error).__name__}: {reason}") from error


def _parse(data: Mapping[str, Any]) -> Results:
    kind = Kind(data["kind"])
    rows = [dict(row) for row in data["rows"]]
    for number, row in enumerate(rows):
        for key in KEYS[kind]:
            if key not in row:
                raise KeyError(f"{key} of row {number}")
            text = key in ("backend", "precision", "device", "mode", "name")
            if not (isinstance(row[key], str) if text else _is_number(row[key])):
                raise TypeError(f"{key} of row {number} is {row[key]!r}")
            if key in POSITIVE and row[key] is not None and row[key] <= 0.0:
                raise ValueError(f"{key} of row {number} is {row[key]!r}, expected more than 0")
    return Results(
        kind=kind,
        command=str(data["command"]),
        settings=dict(data["settings"]),
        environment={**data["environment"], "packages": dict(data["environment"].get("packages", {}))},
        rows=rows,
        summary=dict(data["summary"]),
        created=str(data["created"]),
    )


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value))


def _plain(value: Any) -> Any:
    """JSON types; numbers with six digits, and null for what is not finite."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
