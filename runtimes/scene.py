"""A moving scene that integer arithmetic renders alike in every language: what artifacts are compared on.

Zeros and noise hide warp errors, and small motion hides them too. The scene holds texture on several scales, edges and
flat areas; the background pans by 20 px or more, a disc and a bar move against it, and everything leaves the frame at a
border. ``docs/proof.md`` states the arithmetic for whoever writes it in another language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.contract import MAX_SIDE, Size
from runtimes.json_text import as_list, as_whole

PAN = 0.045
"""Motion of the background as a share of the shorter side; at least :data:`MIN_PAN` pixels."""

MIN_PAN = 20.0

CONTRAST = 0.32
"""Root of the mean square of the texture, for values in [0, 1], times the square root of two."""

WAVES = 24

STEP = 256
"""Positions of the background are whole numbers of 1/256 px."""

GRID = 16
"""Positions of the disc and the bar are whole numbers of 1/16 px."""

COLOURS = ((235, 77, 31), (26, 140, 242))
"""Of the disc and the bar: RGB, 8 bits."""

MAX_WAVES, MAX_WEIGHT = 64, 2**15
"""Sums stay below 2**53 within these: exact in float64, in any order."""


@dataclass(frozen=True, kw_only=True)
class Wave:
    """One component of the background.

    Attributes:
        x, y: phase per 1/256 px, in cycles of 2**32, modulo 2**32.
        phase: at the origin, in the same unit.
        weights: of red, green and blue, in 1/256 of an 8-bit level.
    """

    x: int
    y: int
    phase: int
    weights: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where everything is in one frame.

    Attributes:
        shift: of the background, x and y, in 1/256 px: the texture at pixel (x, y) is that at (x + shift).
        disc: centre x and y, in 1/16 px.
        bar: centre x, in 1/16 px.
    """

    shift: tuple[int, int]
    disc: tuple[int, int]
    bar: int


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that the frames follow from, in whole numbers.

    Attributes:
        size: of the frames.
        waves: of the background.
        first, last: where everything is in the first and the last frame.
        radius: of the disc, in 1/16 px.
        half_width: of the bar, in 1/16 px.
    """

    size: Size
    waves: tuple[Wave, ...]
    first: Placement
    last: Placement
    radius: int
    half_width: int

    @classmethod
    def of(cls, size: Size, *, seed: int = 0) -> Scene:
        """The scene for frames of a size; ``seed`` is of the texture and the directions."""
        rng = np.random.default_rng(seed)
        short = min(size.width, size.height)
        pan = max(MIN_PAN, PAN * short)
        angle = rng.uniform(0.2, 0.6) + rng.integers(4) * np.pi / 2
        disc = (0.42 * size.width, 0.55 * size.height)
        bar = size.width - 0.08 * short
        return cls(
            size=size,
            waves=_waves(rng, pan),
            first=_placement((0.0, 0.0), disc, bar),
            last=_placement(
                (pan * np.cos(angle), pan * np.sin(angle)),
                (disc[0] + 0.05 * short, disc[1] - 0.03 * short),
                bar + 0.06 * short,
            ),
            radius=max(1, round(GRID * 0.14 * short)),
            half_width=max(1, round(GRID * 0.03 * short)),
        )

    def at(self, time: Fraction) -> Placement:
        """Where everything is at a time from 0 (first) to 1 (last)."""

        def between(a: int, b: int) -> int:
            return a + round((b - a) * time)

        first, last = self.first, self.last
        return Placement(
            shift=(between(first.shift[0], last.shift[0]), between(first.shift[1], last.shift[1])),
            disc=(between(first.disc[0], last.disc[0]), between(first.disc[1], last.disc[1])),
            bar=between(first.bar, last.bar),
        )

    def render(self, place: Placement) -> NDArray[np.uint8]:
        """One frame, (H, W, 3) RGB."""
        levels = self._background(place.shift)  # (3, H, W), in 1/256 of a level
        self._paste_disc(levels, place.disc)
        self._paste_bar(levels, place.bar)
        levels += 128
        levels >>= 8
        np.clip(levels, 0, 255, out=levels)
        return np.ascontiguousarray(levels.transpose(1, 2, 0), dtype=np.uint8)

    def frames(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The first and the last frame."""
        return self.render(self.first), self.render(self.last)

    def _background(self, shift: tuple[int, int]) -> NDArray[np.int32]:
        """The sum of all waves: one matrix product a channel, exact since no sum reaches 2**53."""
        x = STEP * np.arange(self.size.width, dtype=np.int64) + shift[0]
        y = STEP * np.arange(self.size.height, dtype=np.int64) + shift[1]
        across = [wave.x * x for wave in self.waves]
        down = [wave.y * y + wave.phase for wave in self.waves]
        columns = np.concatenate([[_wave(a + 2**30) for a in across], [_wave(a) for a in across]])  # (2 N, W)
        rows = np.concatenate([[_wave(b + 2**30) for b in down], [-_wave(b) for b in down]])  # (2 N, H)
        levels = np.empty((3, self.size.height, self.size.width), np.int32)
        for channel in range(3):
            weights = np.tile([wave.weights[channel] for wave in self.waves], 2)[:, None]
            total = (weights * rows).T @ columns
            levels[channel] = np.floor(np.multiply(total, 2.0**-30, out=total), out=total)
        levels += 32768
        return levels

    def _paste_disc(self, levels: NDArray[np.int32], centre: tuple[int, int]) -> None:
        """Coverage from 0 to 256: (r^2 - d^2) 8 / r is the distance to the edge in 1/256 px, near the edge."""
        reach = self.radius // GRID + 1
        left, top = (max(0, side // GRID - reach) for side in centre)
        right, bottom = (side // GRID + reach + 2 for side in centre)
        window = np.s_[:, top:bottom, left:right]
        _, height, width = levels[window].shape
        x = GRID * np.arange(left, left + width, dtype=np.int64) - centre[0]
        y = GRID * np.arange(top, top + height, dtype=np.int64) - centre[1]
        inside = np.maximum(self.radius**2 - (x[None, :] ** 2 + y[:, None] ** 2), 0)
        _paint(levels[window], np.minimum(inside * 8 // self.radius, 256), COLOURS[0])

    def _paste_bar(self, levels: NDArray[np.int32], centre: int) -> None:
        x = GRID * np.arange(self.size.width, dtype=np.int64) - centre
        coverage = ((self.half_width - np.abs(x)) * (256 // GRID)).clip(0, 256)
        seen = np.flatnonzero(coverage)
        if len(seen):
            window = np.s_[:, :, seen[0] : seen[-1] + 1]
            _paint(levels[window], coverage[None, seen[0] : seen[-1] + 1], COLOURS[1])

    def to_json(self) -> dict[str, Any]:
        """As written into a proof; see ``docs/proof.md``."""
        return {
            "width": self.size.width,
            "height": self.size.height,
            "waves": [[wave.x, wave.y, wave.phase, *wave.weights] for wave in self.waves],
            "frames": [[*place.shift, *place.disc, place.bar] for place in (self.first, self.last)],
            "radius": self.radius,
            "half_width": self.half_width,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scene:
        """Read and check what :meth:`to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError, RuntimesError: it is something else.
        """
        waves = tuple(_read_wave(row) for row in as_list(data["waves"]))
        if not 1 <= len(waves) <= MAX_WAVES:
            raise ValueError(f"a scene of {len(waves)} waves; expected 1 to {MAX_WAVES}")
        first, last = (_read_placement(row) for row in as_list(data["frames"]))
        return cls(
            size=Size(as_whole(data["width"], 1, MAX_SIDE), as_whole(data["height"], 1, MAX_SIDE)),
            waves=waves,
            first=first,
            last=last,
            radius=as_whole(data["radius"], 1, 2**18),
            half_width=as_whole(data["half_width"], 1, 2**18),
        )


def _wave(phase: NDArray[np.int64]) -> NDArray[np.float64]:
    """Two parabolas for a sine: a cycle of 2**32 -> whole numbers from -32768 to 32768."""
    p = (phase >> 16) & 0xFFFF
    q = p & 0x7FFF
    height = (q * (0x8000 - q)) >> 13
    return np.where(p & 0x8000, -height, height).astype(np.float64)


def _paint(levels: NDArray[np.int32], coverage: NDArray[np.int64], colour: Sequence[int]) -> None:
    """Mix in a colour by a coverage from 0 to 256, rounding down."""
    for channel in range(3):
        levels[channel] += ((256 * colour[channel] - levels[channel]) * coverage >> 8).astype(np.int32)


def _waves(rng: np.random.Generator, pan: float) -> tuple[Wave, ...]:
    """Wavelengths from 12 px to 8 pans, long ones stronger, in all directions."""
    wavelength = np.geomspace(12.0, 8.0 * pan, WAVES)
    angle, phase = rng.uniform(0, 2 * np.pi, WAVES), rng.uniform(0, 1, WAVES)
    amplitude = np.sqrt(wavelength / wavelength.max())
    scale = CONTRAST * 255 * 256 * amplitude / np.sqrt((amplitude**2).sum() / 2)
    weights = scale[:, None] * rng.uniform(0.4, 1.0, (WAVES, 3))
    return tuple(
        Wave(
            x=round(2**32 / STEP / wavelength[i] * np.cos(angle[i])) % 2**32,
            y=round(2**32 / STEP / wavelength[i] * np.sin(angle[i])) % 2**32,
            phase=round(2**32 * phase[i]) % 2**32,
            weights=(round(weights[i, 0]), round(weights[i, 1]), round(weights[i, 2])),
        )
        for i in range(WAVES)
    )


def _placement(shift: tuple[float, float], disc: tuple[float, float], bar: float) -> Placement:
    return Placement(
        shift=(round(STEP * shift[0]), round(STEP * shift[1])),
        disc=(round(GRID * disc[0]), round(GRID * disc[1])),
        bar=round(GRID * bar),
    )


def _read_wave(row: Sequence[Any]) -> Wave:
    x, y, phase, *weights = row
    red, green, blue = (as_whole(weight, -MAX_WEIGHT, MAX_WEIGHT) for weight in weights)
    x, y, phase = (as_whole(value, 0, 2**32 - 1) for value in (x, y, phase))
    return Wave(x=x, y=y, phase=phase, weights=(red, green, blue))


def _read_placement(row: Sequence[Any]) -> Placement:
    shift_x, shift_y, disc_x, disc_y, bar = (as_whole(value, -(2**23), 2**23) for value in row)
    return Placement(shift=(shift_x, shift_y), disc=(disc_x, disc_y), bar=bar)
