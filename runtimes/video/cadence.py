"""A constant rate behind rounded timestamps.

Matroska counts in milliseconds, and a file that was remuxed from it keeps them in whatever unit its new container has:
24 frames a second become 42, 41 and 42 ms apart. Rationals only, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

_NTSC = Fraction(1000, 1001)

ROUNDINGS = (Fraction(1, 100), Fraction(1, 600), Fraction(1, 1000))
"""Units that containers round to (GIF, old QuickTime, Matroska and Flash), in seconds, and that survive a remux."""


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
    """The grid that all of these times lie on, or None.

    Args:
        stamps: times of frames in order, in seconds; the more, the nearer two rates can be that are told apart.
        tick: time base of the file.
        candidates: rates that the file names; the standard rates near the mean are tried after them.
    """
    if len(stamps) < 3:
        return None
    rounding = next((unit for unit in ROUNDINGS if unit >= 4 * tick and _are_multiples(stamps, unit, tick)), tick)
    tolerance = rounding + (tick if rounding != tick else 0)
    mean = (len(stamps) - 1) / (stamps[-1] - stamps[0])
    for rate in (*candidates, Fraction(max(1, round(mean))), round(mean / _NTSC) * _NTSC):
        if rate <= 0 or 2 * rounding * rate > 1:  # two points of the grid could round to one time
            continue
        places = [round((stamp - stamps[0]) * rate) for stamp in stamps]
        steps = [right - left for left, right in pairwise(places)]
        near = all(
            abs(stamp - stamps[0] - place / rate) <= tolerance for stamp, place in zip(stamps, places, strict=True)
        )
        if near and min(steps) >= 1 and steps.count(1) >= _MOST * len(steps):
            return Grid(rate=rate, rounding=tolerance, whole=max(steps) == 1)
    return None


def _are_multiples(stamps: Iterable[Fraction], unit: Fraction, tick: Fraction) -> bool:
    return all(abs(round(stamp / unit) * unit - stamp) <= tick / 2 for stamp in stamps)


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
