"""Rigid motion made of single frames of the evaluation clips, as datasets: large motion and little else that is hard.

On footage, what moves by 60 px is blurred and covers something else, and no method knows the hidden part. A window that
slides over one sharp frame has neither: the picture at half way is known to the last bit, and all of it but a strip at
either side can be seen in both frames. An object that slides over a frame at rest is sharp too, and what it covers in
one frame can be seen in the other. What is lost on these is lost because the motion was not found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.footage import clip_paths
from benchmarks.accuracy.samples import Padding, Sample
from ifrnet.footage.triplets import evaluation_triplets, frames_of

Frame = NDArray[np.uint8]

OBJECT = (128, 192)
"""Height and width of the moving ellipse in pixels."""

WINDOW = (512, 960)
"""Height and width of the window, at most; what the largest pan leaves of a frame where it is smaller."""


class SingleFrames(ABC):
    """A dataset of pairs made of one frame each, to the right or downwards by turns.

    Attributes:
        name: of the dataset.
        thing: what moves; part of the names of the groups.
        distances: pixels from frame 0 to frame 1; even, so that the middle is a whole number of pixels away.
    """

    name: str
    thing: str
    distances: tuple[int, ...]
    scale = 1.0
    padding = Padding.NONE

    def __init__(self, root: Path | None, per_clip: int = 3) -> None:
        """``root``: as for :class:`benchmarks.accuracy.footage.Footage`. ``per_clip``: frames of each clip.

        Raises:
            BenchmarkError: no frames asked for, or no OpenCV, whose flow is the baseline.
        """
        self._paths = clip_paths(root, per_clip)
        self._triplets = {name: evaluation_triplets(name, path, per_clip) for name, path in self._paths.items()}

    @abstractmethod
    def slide(self, frame: Frame, *, downwards: bool) -> Callable[[int], Frame]:
        """What can be seen of the motion over ``frame`` (H, W, 3): pixels moved since the start -> (h, w, 3)."""

    def _group(self, distance: int) -> str:
        return f"{self.thing} by {distance} px"

    @property
    def sections(self) -> dict[str, tuple[str, ...]]:
        """See :class:`benchmarks.accuracy.samples.Dataset`: each distance is a part."""
        return {self._group(distance): (self._group(distance),) for distance in self.distances}

    def __len__(self) -> int:
        return len(self.distances) * sum(len(triplets) for triplets in self._triplets.values())

    def samples(self, done: Container[str] = ()) -> Iterator[Sample]:
        """See :class:`benchmarks.accuracy.samples.Dataset`; one clip's frames are held at a time."""
        for name, triplets in self._triplets.items():
            frames = frames_of(name, self._paths[name], triplets)
            for number, triplet in enumerate(triplets):
                at = self.slide(frames[triplet.middle], downwards=number % 2 == 1)
                for distance in self.distances:
                    window = f"{name}/{triplet.middle}-{distance}"
                    if window in done:
                        continue
                    yield Sample(
                        id=window,
                        group=self._group(distance),
                        window=window,
                        frame0=at(0),
                        frame1=at(distance),
                        t=0.5,
                        truth=at(distance // 2),
                    )


class Pans(SingleFrames):
    """A window that slides over a frame."""

    name, thing, distances = "pans", "pan", (10, 20, 40, 60, 80, 100, 120)

    @property
    def notes(self) -> list[str]:
        """What the questions are."""
        return [
            f"a window of at most {WINDOW[1]}x{WINDOW[0]} px slides over a frame; a strip at either side is visible "
            "in one of the two frames only"
        ]

    def slide(self, frame: Frame, *, downwards: bool) -> Callable[[int], Frame]:
        """See :class:`SingleFrames`."""
        largest = max(self.distances)
        height, width = (min(most, side - largest) for most, side in zip(WINDOW, frame.shape[:2], strict=True))
        top, left = ((side - size - largest) // 2 for side, size in zip(frame.shape[:2], (height, width), strict=True))

        def at(moved: int) -> Frame:
            y, x = (top + moved, left) if downwards else (top, left + moved)
            return np.ascontiguousarray(frame[y : y + height, x : x + width])

        return at


class Objects(SingleFrames):
    """An ellipse cut out of a frame that slides over the same frame at rest."""

    name, thing, distances = "objects", "object", (10, 20, 40, 60, 80)

    @property
    def notes(self) -> list[str]:
        """What the questions are."""
        return [
            f"an ellipse of {OBJECT[1]}x{OBJECT[0]} px, cut out of the frame turned by 180 degrees, slides over a "
            f"window of at most {WINDOW[1]}x{WINDOW[0]} px of it, which rests"
        ]

    def slide(self, frame: Frame, *, downwards: bool) -> Callable[[int], Frame]:
        """See :class:`SingleFrames`."""
        window = _middle(frame, WINDOW)
        cutout = _middle(window[::-1, ::-1], OBJECT).astype(np.float32)
        height, width = cutout.shape[:2]
        opacity = _ellipse(height, width)[..., None]
        top, left = (window.shape[0] - height) // 2, (window.shape[1] - width) // 2
        start = -(max(self.distances) // 2)

        def at(moved: int) -> Frame:
            y, x = (top + start + moved, left) if downwards else (top, left + start + moved)
            seen = window.copy()
            place = seen[y : y + height, x : x + width]
            place[:] = np.rint(opacity * cutout + (1.0 - opacity) * place)
            return seen

        return at


def _middle(frame: Frame, size: tuple[int, int]) -> Frame:
    """The middle of a frame (H, W, 3), at most (height, width) of it."""
    height, width = (min(most, side) for most, side in zip(size, frame.shape[:2], strict=True))
    top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return frame[top : top + height, left : left + width]


def _ellipse(height: int, width: int) -> NDArray[np.float32]:
    """(H, W) opacity of the ellipse that touches all four sides; its edge is about a pixel wide."""
    y, x = (np.linspace(-1.0, 1.0, length, dtype=np.float32) for length in (height, width))
    radius = np.hypot(y[:, None], x[None, :])
    return np.clip((1.0 - radius) * np.float32(min(height, width) / 2), 0.0, 1.0)
