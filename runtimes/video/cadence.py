"""A constant rate behind rounded timestamps.

Matroska counts in milliseconds, and a file that was remuxed from it keeps them in whatever unit its new container has:
24 frames a second become 42, 41 and 42 ms apart. Rationals only, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from runtimes.video.timeline import common_unit

_NTSC = Fraction(1000, 1001)

ROUNDINGS = (Fraction(1, 1000), Fraction(1, 600), Fraction(1, 100))
"""Units that containers round to (Matroska and Flash, old QuickTime, GIF), in seconds, and that survive a remux."""


_MOST = Fraction(9, 10)
"""Share of neighbours on the grid that are next to each other; a rate that varies meets a fine grid by chance."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Times that are ``origin + k / rate``, each rounded to a multiple of ``rounding``.

    Attributes:
        rate: of the grid.
        rounding: at most this far are times from it; in seconds.
        whole: every point of the grid has its frame, so the rate is that of the frames.
    """

    rate: Fraction
    rounding: Fraction
    whole: bool


def find_grid(stamps: Sequence[Fraction], tick: Fraction, candidates: Iterable[Fraction]) -> Grid | None:
    """The grid that all of these times lie on, with the finest rounding that explains them, or None.

    Args:
        stamps: times of frames in order, in seconds; the more, the nearer two rates can be that are told apart.
        tick: time base of the file.
        candidates: rates that the file names; the standard rates near the mean are tried after them.
    """
    if len(stamps) < 3:
        return None
    mean = (len(stamps) - 1) / (stamps[-1] - stamps[0])
    near = {Fraction(max(1, round(mean))), max(1, round(mean / _NTSC)) * _NTSC}
    standard = sorted(near, key=lambda rate: _spread(stamps, rate))
    common = common_unit(*(right - left for left, right in pairwise(stamps)))
    coarser = [unit for unit in (*ROUNDINGS, common) if unit >= 4 * tick and _are_multiples(stamps, unit, tick)]
    for rate in (*candidates, *standard):
        for rounding in (tick, *coarser):
            tolerance = rounding if rounding == tick else rounding + tick
            if 0 < 2 * rounding * rate <= 1 and (grid := _grid(stamps, rate, tolerance)) is not None:
                return grid  # above, two points of the grid could round to one time
    return None


def _grid(stamps: Sequence[Fraction], rate: Fraction, tolerance: Fraction) -> Grid | None:
    places = [round((stamp - stamps[0]) * rate) for stamp in stamps]
    steps = [right - left for left, right in pairwise(places)]
    if min(steps) < 1 or steps.count(1) < _MOST * len(steps):
        return None
    if any(abs(stamp - stamps[0] - place / rate) > tolerance for stamp, place in zip(stamps, places, strict=True)):
        return None
    return Grid(rate=rate, rounding=tolerance, whole=max(steps) == 1)


def _spread(stamps: Sequence[Fraction], rate: Fraction) -> Fraction:
    """How far apart the distances from the grid of a rate are: of a wrong rate they drift."""
    distances = [stamp - round((stamp - stamps[0]) * rate) / rate for stamp in stamps]
    return max(distances) - min(distances)


def _are_multiples(stamps: Sequence[Fraction], unit: Fraction, tick: Fraction) -> bool:
    """Counted from the first."""
    return all(abs(round((stamp - stamps[0]) / unit) * unit - (stamp - stamps[0])) <= tick for stamp in stamps)


class Regularizer:
    """Undoes the rounding of timestamps: times near the grid are put on it, others stay, so variable rates pass."""

    def __init__(self, grid: Grid | None, tick: Fraction, origin: Fraction) -> None:
        """``origin`` is the time of the first frame, ``tick`` the smallest step between two times."""
        self._grid, self._tick, self._origin = grid, tick, origin
        self._previous: Fraction | None = None

    @property
    def rate(self) -> Fraction | None:
        """Of the grid, if there is one."""
        return None if self._grid is None else self._grid.rate

    def __call__(self, time: Fraction) -> Fraction:
        """The exact time of the next frame, always after the one before."""
        grid, previous = self._grid, self._previous
        if grid is not None:
            snapped = self._origin + Fraction(round((time - self._origin) * grid.rate)) / grid.rate
            if abs(snapped - time) <= grid.rounding and (previous is None or snapped > previous):
                time = snapped
        if previous is not None and time <= previous:
            time = previous + self._tick
        self._previous = time
        return time
