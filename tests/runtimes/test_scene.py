"""The scene: the same bytes by the arithmetic of ``docs/proof.md``, in plain Python numbers."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction

import numpy as np
import pytest

from runtimes.contract import Size
from runtimes.errors import RuntimesError
from runtimes.scene import COLOURS, Placement, Scene
from tests.runtimes.refused_scenes import CHANGES


def wave(phase: int) -> int:
    p = (phase >> 16) & 0xFFFF
    q = p & 0x7FFF
    height = (q * (0x8000 - q)) >> 13
    return -height if p & 0x8000 else height


def mix(level: int, colour: int, coverage: int) -> int:
    return level + ((256 * colour - level) * coverage >> 8)


def pixel(scene: Scene, place: Placement, x: int, y: int) -> tuple[int, ...]:
    """One pixel, as the document states it: no floating point, no numpy."""
    levels = [0, 0, 0]
    for item in scene.waves:
        a = item.x * (256 * x + place.shift[0])
        b = item.y * (256 * y + place.shift[1]) + item.phase
        product = wave(a + 2**30) * wave(b + 2**30) - wave(a) * wave(b)
        for channel in range(3):
            levels[channel] += item.weights[channel] * product
    levels = [32768 + (level >> 30) for level in levels]
    inside = scene.radius**2 - (16 * x - place.disc[0]) ** 2 - (16 * y - place.disc[1]) ** 2
    disc = min(max(inside, 0) * 8 // scene.radius, 256)
    bar = min(max((scene.half_width - abs(16 * x - place.bar)) * 16, 0), 256)
    for channel in range(3):
        levels[channel] = mix(mix(levels[channel], COLOURS[0][channel], disc), COLOURS[1][channel], bar)
    return tuple(min(max((level + 128) >> 8, 0), 255) for level in levels)


@pytest.mark.parametrize("size", [Size(77, 50), Size(33, 64), Size(5, 3), Size(1, 1)])
@pytest.mark.parametrize("seed", [0, 1])
def test_whole_numbers_give_the_same_bytes(size: Size, seed: int) -> None:
    scene = Scene.of(size, seed=seed)
    for place in (scene.first, scene.last, scene.at(Fraction(1, 3))):
        expected = [[pixel(scene, place, x, y) for x in range(size.width)] for y in range(size.height)]
        np.testing.assert_array_equal(scene.render(place), np.array(expected, np.uint8))


def test_large_frames_agree_at_their_corners() -> None:
    scene = Scene.of(Size(4096, 2160))
    frame = scene.render(scene.last)
    for x, y in ((0, 0), (4095, 0), (0, 2159), (4095, 2159), (4000, 1000), (1800, 1150), (3890, 77)):
        assert tuple(frame[y, x]) == pixel(scene, scene.last, x, y)


def test_the_bytes_are_known() -> None:
    """Every language has to come to this sum."""
    sums = [hashlib.sha256(frame.tobytes()).hexdigest() for frame in Scene.of(Size(64, 48)).frames()]
    assert sums == [
        "1910f5f25c33e32541704ad0d1a66a9eb0f038e32c2d93cb8f14a0ec2af6f699",
        "32c7cc192d5338b5b2b1002993fc4ac9fa32ee64ad03a1e290e7deb41457c8f1",
    ]


def test_it_moves_and_fills_the_range() -> None:
    scene = Scene.of(Size(320, 180))
    first, last = scene.frames()
    assert first.std() > 50
    assert (first.min(), first.max()) == (0, 255)
    assert np.abs(first.astype(int) - last).mean() > 20
    assert np.hypot(*scene.last.shift) / 256 > 19.9


def test_it_comes_back_from_json() -> None:
    scene = Scene.of(Size(320, 180), seed=3)
    assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_scene_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, RuntimesError)):
        Scene.from_json({**Scene.of(Size(64, 48)).to_json(), **change})
