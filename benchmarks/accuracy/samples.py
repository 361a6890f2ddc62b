"""Questions with known answers, and how protocols pad the frames before the network sees them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError

Window = tuple[slice, slice]
"""Rows and columns of the true frame inside a padded one."""

SPLIT_MULTIPLE = 20
"""Sides that are multiples of 16 after a resize by 0.8."""

FIXED = (480, 640)
"""Height and width that Middlebury's frames are padded to."""


class Padding(Enum):
    """What a protocol does to frames before the network.

    The network's mean is that of what it is given: of the padded frames with ``SPLIT`` and ``FIXED``, as the official
    evaluation has it, and of the real pixels with ``NONE``, where the runtime pads.
    """

    NONE = "none"
    SPLIT = "replicated on both sides, to multiples of 20"
    FIXED = "zeros on the right and at the bottom, to 640x480"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One question with its answer.

    Attributes:
        id: unique in the dataset, and the same in every run.
        group: part of the dataset whose mean is a row of its own, for example a clip.
        window: samples between the same two frames share it, and follow each other by t.
        frame0, frame1: (H, W, 3) uint8 RGB.
        t: time of ``truth`` between the two, in (0, 1).
        truth: (H, W, 3) uint8 RGB.
        motion: how far things move between the two frames in pixels, see :func:`ifrnet.training.flow.motion`; None
            where nobody measured it.
    """

    id: str
    group: str
    window: str
    frame0: NDArray[np.uint8]
    frame1: NDArray[np.uint8]
    t: float
    truth: NDArray[np.uint8]
    motion: float | None = None


class Dataset(Protocol):
    """A list of samples in a fixed order."""

    name: str
    scale: float
    """The network runs on frames resized by this."""
    padding: Padding

    @property
    def notes(self) -> list[str]:
        """What a reader of its figures has to know, one line each."""
        ...

    @property
    def sections(self) -> dict[str, tuple[str, ...]]:
        """Heading -> groups whose plain mean (over samples) stands below it."""
        ...

    def __len__(self) -> int: ...

    def samples(self, done: Container[str] = ()) -> Iterator[Sample]:
        """Every sample whose window is not among ``done``; frames are read when their turn comes."""
        ...


def pad(frame: NDArray[np.uint8], padding: Padding) -> tuple[NDArray[np.uint8], Window]:
    """(H, W, 3) -> the padded frame, and where in it the frame is.

    Raises:
        BenchmarkError: larger than what the protocol pads to.
    """
    height, width = frame.shape[:2]
    if padding is Padding.NONE:
        return frame, np.s_[:, :]
    if padding is Padding.SPLIT:
        down, right = -height % SPLIT_MULTIPLE, -width % SPLIT_MULTIPLE
        top, left = down // 2, right // 2
        padded = np.pad(frame, ((top, down - top), (left, right - left), (0, 0)), mode="edge")
        return padded, np.s_[top : top + height, left : left + width]
    if height > FIXED[0] or width > FIXED[1]:
        raise BenchmarkError(f"a frame is {width}x{height}; the protocol pads to {FIXED[1]}x{FIXED[0]}")
    padded = np.pad(frame, ((0, FIXED[0] - height), (0, FIXED[1] - width), (0, 0)))
    return padded, np.s_[:height, :width]


def padded(sample: Sample, padding: Padding) -> tuple[Sample, Window]:
    """A sample with both input frames padded, and where the truth is in them."""
    frame0, window = pad(sample.frame0, padding)
    frame1, _ = pad(sample.frame1, padding)
    return replace(sample, frame0=frame0, frame1=frame1), window


def crop(frame: NDArray[Any], side: int | None) -> NDArray[Any]:
    """The centre of a frame (H, W, 3), ``side`` pixels high and wide; all of it for None.

    Raises:
        BenchmarkError: a smaller frame.
    """
    if side is None:
        return frame
    if min(frame.shape[:2]) < side:
        raise BenchmarkError(f"--crop {side}: a frame is {frame.shape[1]}x{frame.shape[0]}, ask for less than that")
    top, left = ((length - side) // 2 for length in frame.shape[:2])
    return frame[top : top + side, left : left + side]
