"""JSON, sha256 and the scene in C++: the same bytes as Python's."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtimes.contract import Size
from runtimes.json_text import parse_json
from runtimes.scene import Scene
from tests.runtimes.refused_scenes import CHANGES

Probe = Callable[..., bytes]

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=()), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(VALUES, min_size=10, max_size=30))
def test_json_is_written_as_python_writes_it(probe: Probe, values: list[object]) -> None:
    for text in (json.dumps(values), json.dumps(values, indent=3)):
        assert probe("canonical", data=text.encode()).decode() == json.dumps(values, sort_keys=True)
        assert probe("indented", data=text.encode()).decode() == json.dumps(values, indent=1) + "\n"


def test_unicode_may_stand_as_it_is(probe: Probe) -> None:
    values = {"zwölf": "\u20ac \U0001f600 \x7f", "\U00010000": 1, "\uffff": 2, "a": "\ud83d\ude00"[::-1]}
    text = json.dumps({key: values[key] for key in list(values)[:3]}, ensure_ascii=False).encode()
    assert probe("canonical", data=text).decode() == json.dumps(parse_json(text), sort_keys=True)
    assert probe("canonical", data=json.dumps(values).encode()).decode() == json.dumps(values, sort_keys=True)


def test_numbers_of_others_are_written_as_python_writes_them(probe: Probe) -> None:
    text = "[1.50, 1E5, 1e+16, 1.0e-7, -0, -0.0, 12345678901234567890123, 100000000000000000.0, 0.1e1, 5e-324, 1e-400]"
    assert probe("canonical", data=text.encode()).decode() == json.dumps(json.loads(text), sort_keys=True)


def test_floats_are_those_of_repr(probe: Probe) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**63, 20_000, dtype=np.uint64)
    powers = [2.0**k for k in range(-1074, 1024)] + [10.0**k for k in range(-30, 30)]
    near = [math.nextafter(value, way) for value in powers for way in (0.0, math.inf)]
    values = [
        *bits.view(np.float64).tolist(),
        *powers,
        *near,
        *rng.random(2000),
        1e16,
        9999999999999998.0,
        1e-4,
        9.9e-5,
    ]
    values += [-0.0, 0.0, math.inf, -math.inf, math.nan, 2.0**53, 0.3, 1 / 3]
    lines = probe("floats", data=struct.pack(f"<{len(values)}d", *values)).decode().splitlines()
    assert lines == [repr(value) for value in map(float, values)]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no JSON value"),
        ("{} 1", "something follows"),
        ("[1,]", "no JSON value"),
        ("[1 2]", "does not end"),
        ('{"a": 1', "does not end"),
        ('{"a" 1}', "no colon"),
        ("{1: 2}", "no name"),
        ('{"a": 1, "a": 2}', "twice"),
        ('"a', "does not end"),
        ('"\\x"', "escape"),
        ('"\\u12', "hexadecimal"),
        ('"a\nb"', "control character"),
        ("01", "that is none"),
        ("1.", "no digit"),
        ("1e", "no digit"),
        ("-", "no digit"),
        ("NaN", "no JSON value"),
        ("1e999", "too large"),
        ("1" * 4301, "that is none"),
        ("[" * 65 + "]" * 65, "deeper than 64"),
        ("[" + "0," * 300_000 + "0]", "too many values"),
    ],
)
def test_what_is_no_json_is_refused(refusal: Callable[..., str], text: str, match: str) -> None:
    assert match in refusal("canonical", data=text.encode())


@pytest.mark.parametrize("data", [b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xe2\x82', b'"\xf4\x90\x80\x80"'])
def test_what_is_no_utf8_is_refused(refusal: Callable[..., str], data: bytes) -> None:
    assert "UTF-8" in refusal("canonical", data=data)


def test_64_levels_are_taken(probe: Probe) -> None:
    assert probe("canonical", data=b"[" * 64 + b"]" * 64) == b"[" * 64 + b"]" * 64


@pytest.mark.parametrize("length", [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000])
def test_sha256(probe: Probe, length: int) -> None:
    data = np.random.default_rng(length).bytes(length)
    assert probe("sha256", data=data).decode() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(("size", "seed"), [("64x48", 0), ("333x251", 1), ("5x3", 2), ("1x1", 0), ("640x20", 7)])
def test_the_scene_has_the_same_bytes(probe: Probe, size: str, seed: int) -> None:
    scene = Scene.of(Size.parse(size), seed=seed)
    found = probe("render", data=json.dumps(scene.to_json()).encode())
    assert found == b"".join(frame.tobytes() for frame in scene.frames())


def test_the_largest_numbers_of_a_scene_are_taken(probe: Probe) -> None:
    data = Scene.of(Size(40, 30)).to_json()
    data["waves"] = [[2**32 - 1, 2**31, 2**32 - 1, weight, weight, -weight] for weight in (2**15, -(2**15)) * 32]
    for frames in ([[2**23] * 5, [-(2**23)] * 5], [[0, 0, 2**18, 0, 0], [-1, -1, -(2**18), -16, -1]]):
        data["frames"] = frames
        scene = Scene.from_json(data)
        assert probe("render", data=json.dumps(data).encode()) == b"".join(f.tobytes() for f in scene.frames())


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_scene_is_refused(refusal: Callable[..., str], change: dict[str, object]) -> None:
    data = {**Scene.of(Size(64, 48)).to_json(), **change}
    assert "expected" in refusal("render", data=json.dumps(data).encode())
