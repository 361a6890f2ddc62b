"""What all outputs have in common: where frames go, under a temporary name until they are whole."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from av.video.format import VideoFormat

from runtimes.contract import Size
from runtimes.errors import UsageError
from runtimes.video.color import Color

STDOUT = "-"


@dataclass(frozen=True, kw_only=True)
class OutputFormat:
    """What every output needs to know of the frames it will get. Times in seconds.

    Attributes:
        size: of the frames.
        native: pixel format of the source, the first choice for the output.
        color: what the numbers mean.
        rate: constant output rate, or None.
        unit: time base in which all output times are whole.
        origin: time of the first frame.
        shift: what video files subtract from all times: parts begin at 0.
        aspect: of a pixel, or None for square.
    """

    size: Size
    native: str
    color: Color
    rate: Fraction | None
    unit: Fraction
    origin: Fraction
    aspect: Fraction | None = None
    shift: Fraction = Fraction(0)

    @property
    def native_format(self) -> VideoFormat:
        """The source's pixel format at the frame's size."""
        return VideoFormat(self.native, self.size.width, self.size.height)


class Sink(Protocol):
    """Where output frames go. ``pixel_format`` None takes (H, W, 3) RGB arrays, else frames of that format."""

    @property
    def pixel_format(self) -> str | None:
        """What :meth:`write` takes."""

    def write(self, picture: Any, time: Fraction, duration: Fraction) -> None:
        """Take the next frame, to be shown at ``time`` for ``duration``."""

    def finish(self, *, whole: bool = True) -> None:
        """Close, and give the output its name. ``whole`` is false for the playable part of an interrupted job."""

    def discard(self) -> None:
        """Close and leave nothing behind."""


class StagedFile:
    """A file that is written beside its final name and takes it when whole."""

    def __init__(self, final: Path, *, force: bool) -> None:
        """Raises UsageError when the file exists and ``force`` is false, or its folder does not exist."""
        if final.is_dir() or (final.exists() and not force):
            raise UsageError(f"{final} exists: pass --force to replace it, or name another output")
        if not final.parent.is_dir():
            raise UsageError(f"{final.parent} does not exist: make that folder first")
        self.final = final
        folder = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
        self.staging = folder / final.name

    def finish(self) -> None:
        """Give the file its name."""
        self.staging.replace(self.final)
        self.discard()

    def discard(self) -> None:
        """Remove what is left under the temporary name."""
        self.staging.unlink(missing_ok=True)
        if self.staging.parent.exists():
            self.staging.parent.rmdir()
