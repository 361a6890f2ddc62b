"""What all outputs have in common: where frames go, under a temporary name until they are whole."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from av.video.format import VideoFormat

from runtimes.atomic import is_taken, remove_abandoned, sync, temporary_name
from runtimes.contract import Size
from runtimes.errors import UsageError
from runtimes.video.color import Color
from runtimes.video.hdr import Extras

STDOUT = "-"


@dataclass(frozen=True, kw_only=True)
class OutputFormat:
    """What every output needs to know of the frames it will get. Times in seconds.

    Attributes:
        size: of the frames.
        native: pixel format of the source, the first choice for the output.
        color: what the numbers mean.
        rate: constant output rate, or None.
        nominal: where that is None, the rate for headers.
        unit: time base in which all output times are whole.
        origin: time of the first frame.
        shift: what video files subtract from all times: parts begin at 0.
        aspect: of a pixel, or None for square.
        extras: what the source says beside pixels and colours.
        alpha: frames have transparency, which the output keeps.
    """

    size: Size
    native: str
    color: Color
    rate: Fraction | None
    unit: Fraction
    origin: Fraction
    nominal: Fraction = Fraction(25)
    aspect: Fraction | None = None
    shift: Fraction = Fraction(0)
    extras: Extras = Extras()
    alpha: bool = False

    @property
    def declared(self) -> Fraction:
        """Frames a second for headers. Where times vary, tools that read a file make so many of it, and drop others."""
        return (self.rate or self.nominal).limit_denominator(1_000_000)

    @property
    def native_format(self) -> VideoFormat:
        """The source's pixel format at the frame's size."""
        return VideoFormat(self.native, self.size.width, self.size.height)


class Sink(Protocol):
    """Where output frames go. ``pixel_format`` None takes (H, W, 3) arrays, RGB, or 4 with transparency; else frames of
    that format."""

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
        """What dead processes left of earlier attempts is removed.

        Raises:
            UsageError: the file exists and ``force`` is false, another job is writing it, or its folder does not exist.
        """
        if final.is_dir() or (is_taken(final) and not force):
            raise UsageError(f"{final} exists: pass --force to replace it, or name another output")
        if not final.parent.is_dir():
            raise UsageError(f"{final.parent} does not exist: make that folder first")
        remove_abandoned(final)
        self.final, self._force = final, force
        self.staging = temporary_name(final)
        self.staging.touch(exist_ok=False)
        try:
            if not force:
                refuse_second_writer(self.staging, final)
        except UsageError:
            self.discard()
            raise

    def finish(self) -> None:
        """Give the file its name, once what was written is on the disk.

        Raises:
            UsageError: without ``force``, a file of that name appeared meanwhile. It is kept, and so is this one, under
                a free name.
        """
        sync(self.staging)
        if self._force:
            self.staging.replace(self.final)
        else:
            self._take_free_name()
        sync(self.final.parent)

    def _take_free_name(self) -> None:
        try:
            try:
                os.link(self.staging, self.final)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                self.final.touch(exist_ok=False)
                self.staging.replace(self.final)
        except FileExistsError:
            kept = free_name(self.final)
            self.staging.rename(kept)
            raise UsageError(
                f"{self.final} appeared while this job ran, and is not replaced: the result is {kept}"
            ) from None
        self.discard()

    def discard(self) -> None:
        """Remove what is left under the temporary name."""
        self.staging.unlink(missing_ok=True)


def refuse_second_writer(staging: Path, final: Path) -> None:
    """Raises UsageError when another process of this machine is writing ``final`` under a temporary name of its own."""
    own = f"-{os.getpid()}-"
    start, _, _ = staging.name.rpartition(own)
    for path in final.parent.iterdir():
        name = path.name
        ours = name.startswith(f"{start}-") and name.endswith(f".partial{final.suffix}")
        if ours and not name.startswith(f"{start}{own}"):
            raise UsageError(f"another job is writing {final} (as {name}): wait for it, or name another output")


def free_name(path: Path) -> Path:
    """``out.mp4`` -> ``out-2.mp4``, or the next number that no file has."""
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(name for name in names if not is_taken(name))
