"""Rigid pans over frames of the evaluation clips, as a dataset: large motion and nothing else that is hard.

On footage, what moves by 60 px is blurred and covers something else, and no method knows the hidden part. A window that
slides over one sharp frame has neither: the picture at half way is known to the last bit, and all of it but a strip at
either side can be seen in both frames. What is lost here is lost because the motion was not found.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.footage import clip_paths
from benchmarks.accuracy.samples import Padding, Sample
from ifrnet.footage.triplets import evaluation_triplets, frames_of

DISTANCES = (10, 20, 40, 60, 80, 100, 120)
"""Pixels from frame 0 to frame 1; even, so that the middle is a whole number of pixels away."""

WINDOW = (512, 960)
"""Height and width of the window, at most; what the largest pan leaves of a frame where it is smaller."""


class Pans:
    """A window that slides over a frame to the right or downwards, by turns."""

    name = "pans"
    scale = 1.0
    padding = Padding.NONE

    def __init__(self, root: Path | None, per_clip: int = 3) -> None:
        """``root``: as for :class:`benchmarks.accuracy.footage.Footage`. ``per_clip``: frames of each clip.

        Raises:
            BenchmarkError: no frames asked for, or no OpenCV, whose flow is the baseline.
        """
        self._paths = clip_paths(root, per_clip)
        self._triplets = {name: evaluation_triplets(name, path, per_clip) for name, path in self._paths.items()}

    @property
    def sections(self) -> dict[str, tuple[str, ...]]:
        """See :class:`benchmarks.accuracy.samples.Dataset`: each distance is a part."""
        return {f"pan by {distance} px": (f"pan by {distance} px",) for distance in DISTANCES}

    def __len__(self) -> int:
        return len(DISTANCES) * sum(len(triplets) for triplets in self._triplets.values())

    def samples(self, done: Container[str] = ()) -> Iterator[Sample]:
        """See :class:`benchmarks.accuracy.samples.Dataset`; one clip's frames are held at a time."""
        for name, triplets in self._triplets.items():
            frames = frames_of(name, self._paths[name], triplets)
            for number, triplet in enumerate(triplets):
                for distance in DISTANCES:
                    window = f"{name}/{triplet.middle}-{distance}"
                    if window not in done:
                        yield _pan(window, frames[triplet.middle], distance, downwards=number % 2 == 1)

    @property
    def notes(self) -> list[str]:
        """What the questions are."""
        return [
            f"a window of at most {WINDOW[1]}x{WINDOW[0]} px slides over a frame; a strip at either side is visible "
            "in one of the two frames only"
        ]


def _pan(window: str, frame: NDArray[np.uint8], distance: int, *, downwards: bool) -> Sample:
    """The window at the start, half way and at the end of a pan over ``frame`` (H, W, 3)."""
    largest = max(DISTANCES)
    height, width = (min(most, side - largest) for most, side in zip(WINDOW, frame.shape[:2], strict=True))
    top, left = ((side - length - largest) // 2 for side, length in zip(frame.shape[:2], (height, width), strict=True))

    def at(moved: int) -> NDArray[np.uint8]:
        y, x = (top + moved, left) if downwards else (top, left + moved)
        return np.ascontiguousarray(frame[y : y + height, x : x + width])

    return Sample(
        id=window,
        group=f"pan by {distance} px",
        window=window,
        frame0=at(0),
        frame1=at(distance),
        t=0.5,
        truth=at(distance // 2),
    )
