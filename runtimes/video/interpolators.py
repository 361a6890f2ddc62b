"""Frames between two, from what one call of a runtime gives: halving, averaging over flips, tiles.

Each function wraps an :data:`Interpolate` and returns another, so that they combine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.base import Runtime
from runtimes.contract import Size, Timesteps
from runtimes.frames import Array, size_of

Interpolate = Callable[[Array, Array, Sequence[Fraction]], list[Array]]
"""(H, W, 3) twice and several t in (0, 1) -> as many (H, W, 3) of the same dtype."""

_DEEP = 65535

TTA_COST = 8
"""Inferences for each frame with :func:`averaged`: 4 flips in both directions of time."""


class Meter:
    """Calls a runtime, and measures how many frames it made in how many seconds."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.frames = 0
        self.seconds = 0.0

    def __call__(self, img0: Array, img1: Array, steps: Sequence[Fraction]) -> list[Array]:
        """See :data:`Interpolate`; only t that the artifact serves itself."""
        start = time.perf_counter()
        result = self._runtime.interpolate(img0, img1, [float(t) for t in steps])
        self.seconds += time.perf_counter() - start
        self.frames += len(steps)
        return result


def stepping(inner: Interpolate, timesteps: Timesteps) -> Interpolate:
    """Serve every t: directly, or on a t = 0.5 checkpoint by halving."""
    return inner if timesteps is Timesteps.ANY else halved(inner)


def halved(inner: Interpolate) -> Interpolate:
    """Serve t = k / 2^n with a checkpoint for t = 0.5: each frame is the middle of two coarser ones, made once.

    Steps of one pair may come in several calls, in order: what a later one can need is kept, a frame for each halving.
    """
    known: dict[Fraction, Array] = {}

    def at(t: Fraction) -> Array:
        if t not in known:
            half = Fraction(1, t.denominator)
            known[t] = inner(at(t - half), at(t + half), [Fraction(1, 2)])[0]
        return known[t]

    def interpolate(img0: Array, img1: Array, steps: Sequence[Fraction]) -> list[Array]:
        if known.get(Fraction(0)) is not img0 or known.get(Fraction(1)) is not img1:
            known.clear()
            known.update({Fraction(0): img0, Fraction(1): img1})
        made = []
        for t in steps:
            made.append(at(t))
            for other in [x for x in known if x < t and x + Fraction(1, x.denominator) <= t]:
                del known[other]  # all that it bounds is made
        return made

    return interpolate


def averaged(inner: Interpolate) -> Interpolate:
    """Average over horizontal and vertical flips and the reversal of time; :data:`TTA_COST` times the work."""

    def interpolate(img0: Array, img1: Array, steps: Sequence[Fraction]) -> list[Array]:
        sums = [np.zeros(img0.shape, np.float32) for _ in steps]
        for flip in (np.s_[:, :], np.s_[:, ::-1], np.s_[::-1, :], np.s_[::-1, ::-1]):
            a, b = np.ascontiguousarray(img0[flip]), np.ascontiguousarray(img1[flip])
            forward = inner(a, b, steps)
            backward = inner(b, a, [1 - t for t in steps])
            for total, x, y in zip(sums, forward, backward, strict=True):
                total += x[flip]
                total += y[flip]
        return [np.rint(total / TTA_COST).astype(img0.dtype) for total in sums]

    return interpolate


def with_alpha(inner: Interpolate) -> Interpolate:
    """Serve (H, W, 4) too: a second run of the network over alpha, so twice the work where a pixel is transparent.

    Colours are multiplied with alpha in 16 bits before and divided by it after, since under a transparent pixel lies
    anything.
    """

    def interpolate(img0: Array, img1: Array, steps: Sequence[Fraction]) -> list[Array]:
        if img0.shape[2] == 3:
            return inner(img0, img1, steps)
        peak = np.iinfo(img0.dtype).max
        if min(img0[..., 3].min(), img1[..., 3].min()) == peak:
            opaque = np.full((*img0.shape[:2], 1), peak, img0.dtype)
            made = inner(np.ascontiguousarray(img0[..., :3]), np.ascontiguousarray(img1[..., :3]), steps)
            return [np.concatenate([rgb, opaque], axis=2) for rgb in made]
        colours = inner(_multiplied(img0, peak), _multiplied(img1, peak), steps)
        alphas = inner(_alpha_as_grey(img0, peak), _alpha_as_grey(img1, peak), steps)
        return [_divided(rgb, grey, img0.dtype) for rgb, grey in zip(colours, alphas, strict=True)]

    return interpolate


def _multiplied(img: Array, peak: int) -> Array:
    """(H, W, 4) -> colours times alpha, (H, W, 3) uint16."""
    share = img[..., 3:].astype(np.float32) / np.float32(peak)
    return np.rint(img[..., :3] * (share * np.float32(_DEEP / peak))).astype(np.uint16)


def _alpha_as_grey(img: Array, peak: int) -> Array:
    """(H, W, 4) -> alpha three times, (H, W, 3) uint16."""
    return np.ascontiguousarray(np.repeat(img[..., 3:].astype(np.uint16) * (_DEEP // peak), 3, axis=2))


def _divided(rgb: Array, grey: Array, dtype: np.dtype[Any]) -> Array:
    """The inverse of the two above: (H, W, 4) of ``dtype``."""
    alpha = grey.mean(axis=2, keepdims=True, dtype=np.float32)  # (H, W, 1)
    straight = np.clip(rgb * (_DEEP / np.maximum(alpha, 1)), 0, _DEEP)
    scale = np.float32(np.iinfo(dtype).max / _DEEP)
    return np.rint(np.concatenate([straight, alpha], axis=2) * scale).astype(dtype)


def tiled(inner: Interpolate, tile: Size, overlap: int) -> Interpolate:
    """Work on overlapping tiles and fade each into the next, so that memory is that of one tile.

    Motion is found within a tile only, and each has its own mean: the overlap should exceed the motion.
    """

    def interpolate(img0: Array, img1: Array, steps: Sequence[Fraction]) -> list[Array]:
        size = size_of(img0)
        sums = [np.zeros(img0.shape, np.float32) for _ in steps]
        weights = np.zeros((size.height, size.width, 1), np.float32)
        for y in tile_starts(size.height, tile.height, overlap):
            for x in tile_starts(size.width, tile.width, overlap):
                here = np.s_[y : y + tile.height, x : x + tile.width]
                part0, part1 = np.ascontiguousarray(img0[here]), np.ascontiguousarray(img1[here])
                weight = _feather(part0.shape[0], overlap)[:, None, None] * _feather(part0.shape[1], overlap)[:, None]
                weights[here] += weight  # (h, w, 1)
                for total, part in zip(sums, inner(part0, part1, steps), strict=True):
                    total[here] += weight * part
        return [np.rint(total / weights).astype(img0.dtype) for total in sums]

    return interpolate


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles of one axis begin: evenly spread, each overlapping the next by at least ``overlap``."""
    if tile >= length:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def tile_cost(size: Size, tile: Size, overlap: int) -> float:
    """Pixels computed for each pixel shown."""
    across = len(tile_starts(size.width, tile.width, overlap)) * min(tile.width, size.width)
    down = len(tile_starts(size.height, tile.height, overlap)) * min(tile.height, size.height)
    return across * down / (size.width * size.height)


def _feather(length: int, overlap: int) -> NDArray[np.float32]:
    """Weights that rise over ``overlap`` pixels from both ends, never 0."""
    position = np.arange(length, dtype=np.float32)
    distance = np.minimum(position, length - 1 - position) + 1
    return np.minimum(distance / (overlap + 1), 1).astype(np.float32)
