"""Sizes, ranges and time steps: what they take, and that the message for the rest names what was expected."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.contract import MAX_SIDE, Size, SizeRange, Timesteps
from runtimes.errors import FrameError, TimestepError, UsageError

sides = st.integers(1, MAX_SIDE)
sizes = st.builds(Size, sides, sides)


@given(sizes)
def test_sizes_are_read_as_they_are_written(size: Size) -> None:
    assert Size.parse(str(size)) == size
    assert Size.parse(f" {size.width}X{size.height} ") == size


@pytest.mark.parametrize(
    "text", ["", "1280", "1280x", "x720", "1280*720", "1280x720x3", "1e3x10", "12 80x720", "axb", "½x2"]
)
def test_other_text_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="expected WIDTHxHEIGHT"):
        Size.parse(text)


@pytest.mark.parametrize("text", ["0x720", "1280x0", "-1280x720", "1280x-720", "16385x720", "1280x999999999"])
def test_absurd_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected 1 to 16384 pixels"):
        Size.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    with suppress(UsageError):
        assert Size.parse(text) == Size.parse(str(Size.parse(text)))


@given(sizes, sizes)
def test_a_static_range_takes_one_size(size: Size, other: Size) -> None:
    static = SizeRange.static(size)
    assert static.is_static
    assert str(static) == str(size)
    static.check(size)
    if other != size:
        with pytest.raises(FrameError, match=f"--size {other}, or with --dynamic"):
            static.check(other)


@pytest.mark.parametrize("size", ["32x32", "400x300", "33x299"])
def test_a_range_holds_its_ends(size: str) -> None:
    SizeRange(minimum=Size(32, 32), typical=Size(64, 64), maximum=Size(400, 300)).check(Size.parse(size))


@pytest.mark.parametrize("size", ["31x32", "32x31", "401x300", "400x301", "300x400"])
def test_a_range_ends(size: str) -> None:
    with pytest.raises(FrameError, match="takes 32x32 to 400x300"):
        SizeRange(minimum=Size(32, 32), typical=Size(64, 64), maximum=Size(400, 300)).check(Size.parse(size))


@pytest.mark.parametrize("low", [Size(65, 32), Size(32, 65)])
def test_ranges_are_in_order(low: Size) -> None:
    with pytest.raises(UsageError, match="minimum <= typical <= maximum"):
        SizeRange(minimum=low, typical=Size(64, 64), maximum=Size(400, 300))


@given(st.floats(0.0, 1.0, exclude_min=True, exclude_max=True, width=32))
def test_any_time_between_the_frames(t: float) -> None:
    assert Timesteps.ANY.check(t) == t


@pytest.mark.parametrize(
    "t", [0.0, 1.0, 1.0 - 1e-9, 1e-50, -0.1, 1.5, 1e300, float("nan"), float("inf"), -float("inf")]
)
@pytest.mark.parametrize("timesteps", Timesteps)
def test_times_outside_are_refused(timesteps: Timesteps, t: float) -> None:
    with pytest.raises(TimestepError, match="expected 0 < t < 1"):
        timesteps.check(t)


def test_a_middle_checkpoint_gives_the_middle_only() -> None:
    assert Timesteps.MIDDLE.check(0.5) == 0.5
    with pytest.raises(TimestepError, match=r"trained at t = 0.5 only.*halve recursively"):
        Timesteps.MIDDLE.check(0.25)
