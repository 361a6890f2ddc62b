"""Which frames make a fair triplet: no cut inside, visible motion, and even motion on both sides.

The rules look at frames of 160x90 gray levels: a cut is an outlier among the frame differences, a near-static triplet
has a mean difference below 0.8/255, and a triplet whose halves differ by more than a factor of two in motion holds
a dropped or repeated frame, so that its middle frame is not at t = 0.5.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ifrnet.footage.catalogue import MEDIA
from ifrnet.footage.video import Frame, read_frames

SMALL = (160, 90)
"""Width and height at which frames are compared."""

STATIC = 0.8 / 255.0
"""Mean absolute difference below which nothing moves, levels in [0, 1]."""

UNEVEN = 2.0
"""Largest ratio between the differences of the two halves."""

CUT_FLOOR = 0.08
"""A difference below this is never a cut, levels in [0, 1]."""

CUT_RATIO = 4.0
"""A cut's difference exceeds this many times the median of its neighbours."""

CUT_WINDOW = 6
"""Neighbours on either side that a difference is compared with."""


@dataclass(frozen=True, kw_only=True, order=True)
class Triplet:
    """Frame indices: ``first`` and ``last`` go in, ``middle`` is the truth."""

    first: int
    middle: int
    last: int

    @property
    def t(self) -> float:
        """Where the middle frame lies between the others, in (0, 1)."""
        return (self.middle - self.first) / (self.last - self.first)


def small_gray(frame: Frame) -> NDArray[np.float32]:
    """(H, W, 3) uint8 -> (90, 160) float32 in [0, 1], area-averaged."""
    from PIL import Image  # a leaf's optional dependency, as for video

    image = Image.fromarray(frame).convert("L").resize(SMALL, Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float32) / 255.0


def differences(smalls: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Mean absolute difference of each frame to the next. n frames -> (n - 1,)."""
    return np.array([np.abs(b - a).mean() for a, b in itertools.pairwise(smalls)], dtype=np.float32)


def find_cuts(steps: NDArray[np.float32]) -> NDArray[np.bool_]:
    """True where the difference between a frame and the next is an outlier. (n - 1,) -> (n - 1,)."""
    cuts = np.zeros(len(steps), dtype=np.bool_)
    for index, step in enumerate(steps):
        near = np.concatenate((steps[max(0, index - CUT_WINDOW) : index], steps[index + 1 : index + 1 + CUT_WINDOW]))
        typical = float(np.median(near)) if len(near) else 0.0
        cuts[index] = step > CUT_FLOOR and step > CUT_RATIO * typical
    return cuts


def is_fair(steps: NDArray[np.float32], cuts: NDArray[np.bool_], triplet: Triplet) -> bool:
    """Whether a triplet (of any spacing) obeys the rules of this module.

    Args:
        steps: differences between neighbouring frames, see :func:`differences`.
        cuts: see :func:`find_cuts`.
        triplet: indices into the frames that the differences are of.
    """
    span = np.s_[triplet.first : triplet.last]
    if cuts[span].any():
        return False
    # Every step and not only the halves: a wide triplet with a frame dropped inside is uneven in time as well.
    least, most = float(steps[span].min()), float(steps[span].max())
    return least >= STATIC and most <= UNEVEN * least


def find_triplets(frames: Iterable[Frame], *, spacing: int = 1) -> list[Triplet]:
    """All fair triplets (i, i + spacing, i + 2 spacing) of a clip."""
    return _fair(differences([small_gray(frame) for frame in frames]), spacing)


def _fair(steps: NDArray[np.float32], spacing: int) -> list[Triplet]:
    cuts = find_cuts(steps)
    starts = range(len(steps) + 1 - 2 * spacing)
    candidates = (Triplet(first=i, middle=i + spacing, last=i + 2 * spacing) for i in starts)
    return [triplet for triplet in candidates if is_fair(steps, cuts, triplet)]


def spread(triplets: Sequence[Triplet], count: int) -> list[Triplet]:
    """``count`` of the triplets, evenly spread over the clip; all where there are fewer."""
    if len(triplets) <= count:
        return list(triplets)
    return [triplets[index * (len(triplets) - 1) // max(1, count - 1)] for index in range(count)]


@lru_cache(maxsize=8)
def _evaluation_steps(name: str, path: Path) -> NDArray[np.float32]:
    """Differences between the neighbouring frames of a clip's evaluation range."""
    media = MEDIA[name]
    first, last = media.evaluation or (0, None)
    stop = None if last is None else last + 1
    return differences(small_gray(frame) for frame in read_frames(path, media.rows, start=first, stop=stop))


def evaluation_triplets(name: str, path: Path, count: int, *, spacing: int = 1) -> list[Triplet]:
    """``count`` fair triplets (i, i + spacing, i + 2 spacing) from a clip's evaluation range, evenly spread.

    Args:
        name: key in :data:`MEDIA`.
        path: the clip, as :func:`ifrnet.footage.download.fetch` gives it.
        count: at most this many.
        spacing: frames from each to the next.
    """
    first, _ = MEDIA[name].evaluation or (0, None)
    fair = _fair(_evaluation_steps(name, path), spacing)
    return spread([Triplet(first=t.first + first, middle=t.middle + first, last=t.last + first) for t in fair], count)


def frames_of(name: str, path: Path, triplets: Sequence[Triplet]) -> dict[int, Frame]:
    """The frames that triplets name, by index; one pass over the clip."""
    wanted = {index for triplet in triplets for index in (triplet.first, triplet.middle, triplet.last)}
    begin = min(wanted, default=0)
    frames = read_frames(path, MEDIA[name].rows, start=begin, stop=max(wanted, default=-1) + 1)
    return {index: frame for index, frame in enumerate(frames, start=begin) if index in wanted}
