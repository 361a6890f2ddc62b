"""Scores on disk as they come, so that a measurement of hours can be interrupted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from runtimes.atomic import write_text


@dataclass(frozen=True, kw_only=True)
class Score:
    """One method on one sample: PSNR in dB, SSIM, IE and flicker in levels of 8 bits.

    ``flicker`` is None where no interpolated frame comes directly before this one. ``model_psnr`` is the PSNR of the
    first model in PyTorch on this sample and ``to_model`` that between its frame and this one, both in dB, for
    whatever else runs a network; None for others. ``motion`` is that of the sample, in pixels; ``perceptual`` the
    distance of :mod:`benchmarks.accuracy.perceptual`.
    """

    method: str
    id: str
    group: str
    psnr: float
    ssim: float
    ie: float
    flicker: float | None
    model_psnr: float | None = None
    to_model: float | None = None
    motion: float | None = None
    perceptual: float | None = None


class ScoreLog:
    """A file of JSON lines: what is measured, then the scores of one window a line.

    Args:
        path: the file, or None to keep nothing.
        header: what is measured; a file with another one is not continued.

    Raises:
        BenchmarkError: the file belongs to another measurement.
    """

    def __init__(self, path: Path | None, header: Mapping[str, Any]) -> None:
        self.path = path
        self.windows: dict[str, list[Score]] = {}
        first = json.dumps(dict(header), sort_keys=True)
        if path is None:
            return
        if path.is_file() and path.stat().st_size:
            self._read(path, first)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, first + "\n")

    def _read(self, path: Path, first: str) -> None:
        try:
            whole, _, torn = path.read_text(encoding="utf-8").rpartition("\n")
        except ValueError as error:
            raise BenchmarkError(f"{path} is damaged ({error}): remove it and measure again") from error
        lines = whole.split("\n")
        if lines[0] != first:
            raise BenchmarkError(
                f"{path} was begun by another measurement ({lines[0][:200]}): remove it, or give another --json"
            )
        try:
            for line in lines[1:]:
                window, *scores = json.loads(line)
                self.windows[window] = [Score(**score) for score in scores]
        except (ValueError, TypeError) as error:
            raise BenchmarkError(f"{path} is damaged ({error}): remove it and measure again") from error
        if torn:  # the process was killed while it wrote: that window is measured again
            write_text(path, whole + "\n")

    @property
    def scores(self) -> list[Score]:
        """All scores so far."""
        return [score for scores in self.windows.values() for score in scores]

    def add(self, window: str, scores: Sequence[Score]) -> None:
        """Keep the scores of a window."""
        self.windows[window] = list(scores)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([window, *map(asdict, scores)]) + "\n")

    def finish(self) -> None:
        """The results are written; the journal is not needed any more."""
        if self.path is not None:
            self.path.unlink()
