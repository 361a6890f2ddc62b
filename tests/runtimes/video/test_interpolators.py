"""Halving, averaging and tiles."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.contract import Size
from runtimes.frames import Array
from runtimes.video.interpolators import averaged, halved, tile_cost, tile_starts, tiled
from tests.runtimes.video.clips import draw

STEPS = [Fraction(1, 4), Fraction(1, 2), Fraction(5, 8)]


def blend(a: Array, b: Array, steps: Sequence[Fraction]) -> list[Array]:
    return [np.rint((1 - float(t)) * a + float(t) * b).astype(a.dtype) for t in steps]


def shifting(a: Array, b: Array, steps: Sequence[Fraction]) -> list[Array]:
    """Depends on the side and on the order, as a network does."""
    return [np.roll(frame, 1, axis=1) // 2 + a // 8 for frame in blend(a, b, steps)]


def test_halving_makes_each_frame_from_coarser_ones_once() -> None:
    calls = []

    def middle(a: Array, b: Array, steps: Sequence[Fraction]) -> list[Array]:
        assert steps == [Fraction(1, 2)]
        calls.append(1)
        return blend(a, b, steps)

    a, b = np.zeros((4, 6, 3), np.uint8), np.full((4, 6, 3), 160, np.uint8)
    found = halved(middle)(a, b, [Fraction(i, 8) for i in range(1, 8)])
    assert [int(frame[0, 0, 0]) for frame in found] == [20 * i for i in range(1, 8)]
    assert len(calls) == 7
    calls.clear()
    work = halved(middle)
    pieces = [frame for i in range(1, 8) for frame in work(a, b, [Fraction(i, 8)])]
    assert [int(frame[0, 0, 0]) for frame in pieces] == [20 * i for i in range(1, 8)]
    assert len(calls) == 7, "a pair that comes in pieces costs the same"


def test_averaging_is_symmetric() -> None:
    a, b = draw(0), draw(3)
    work = averaged(shifting)
    for result, mirrored in zip(work(a, b, STEPS), work(a[:, ::-1], b[:, ::-1], STEPS), strict=True):
        assert np.array_equal(result[:, ::-1], mirrored)
    backwards = work(b, a, [1 - t for t in STEPS])
    assert all(np.array_equal(x, y) for x, y in zip(work(a, b, STEPS), backwards, strict=True))
    assert not np.array_equal(shifting(a, b, STEPS)[0], work(a, b, STEPS)[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiles_leave_no_seam(dtype: type) -> None:
    a: Array = draw(0, Size(150, 90)).astype(dtype)
    b: Array = draw(3, Size(150, 90)).astype(dtype)
    seen = []

    def inner(x: Array, y: Array, steps: Sequence[Fraction]) -> list[Array]:
        seen.append(x.shape)
        return blend(x, y, steps)

    for whole, pieces in zip(blend(a, b, STEPS), tiled(inner, Size(64, 48), 16)(a, b, STEPS), strict=True):
        assert whole.dtype == pieces.dtype
        assert np.abs(whole.astype(int) - pieces).max() <= 1
    assert set(seen) == {(48, 64, 3)}, "a static artifact takes one size"


def test_feathers_fade_between_tiles_that_disagree() -> None:
    """Tiles that come out 100 brighter each time meet in a ramp and not in a step."""
    count = iter(range(10))

    def inner(x: Array, y: Array, steps: Sequence[Fraction]) -> list[Array]:
        return [np.full_like(x, 100 * next(count))]

    flat = np.zeros((32, 112, 3), np.uint8)
    row = tiled(inner, Size(64, 32), 16)(flat, flat, STEPS[:1])[0][16, :, 0].astype(int)
    assert row[0] == 0
    assert row[-1] == 100
    assert np.abs(np.diff(row)).max() <= 8


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(16, 800), st.data())
def test_tiles_cover_with_their_overlap(length: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, (tile - 1) // 2))
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] + tile >= length
    if tile < length:
        assert starts[-1] + tile == length
        assert all(0 < b - a <= tile - overlap for a, b in itertools.pairwise(starts))


def test_cost() -> None:
    assert tile_cost(Size(1920, 1080), Size(1920, 1080), 64) == 1
    assert tile_cost(Size(1920, 1080), Size(960, 1080), 0) == 1
    assert 1.2 < tile_cost(Size(1920, 1080), Size(640, 360), 64) < 2
