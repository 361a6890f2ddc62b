"""Constant rates behind rounded times, as numbers and in files that were remuxed."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.__main__ import main
from runtimes.video.cadence import Grid, Regularizer, find_grid
from runtimes.video.source import VideoSource
from tests.runtimes.video.clips import Blender, Clip, even, read_video, write_clip

law = settings(max_examples=40, deadline=None)  # a deadline would measure the machine

MILLISECOND = Fraction(1, 1000)

RATES = [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]


def rounded(times: list[Fraction], unit: Fraction, tick: Fraction) -> list[Fraction]:
    """Times as a container in ``unit`` keeps them, remuxed into one in ``tick``."""
    return [round(round(time / unit) * unit / tick) * tick for time in times]


@law
@given(
    st.sampled_from(RATES),
    st.sampled_from([Fraction(1, 1000), Fraction(1, 600)]),
    st.sampled_from([Fraction(1, 1000), Fraction(1, 16000), Fraction(1, 90000), Fraction(1, 12800)]),
    st.integers(3, 200),
    st.fractions(0, 2, max_denominator=20),
)
def test_rounded_timestamps_become_exact(
    rate: Fraction, unit: Fraction, tick: Fraction, count: int, start: Fraction
) -> None:
    unit = unit if unit >= 4 * tick else tick
    stamps = rounded([start + i / rate for i in range(count)], unit, tick)
    grid = find_grid(stamps, tick, [rate])
    assert grid is not None
    assert (grid.rate, grid.whole) == (rate, True)
    regular = Regularizer(grid, tick, stamps[0])
    assert [regular(time) for time in stamps] == [stamps[0] + i / rate for i in range(count)]


@pytest.mark.parametrize("rate", RATES)
def test_the_rate_is_found_when_the_file_names_a_wrong_one(rate: Fraction) -> None:
    stamps = rounded([i / rate for i in range(400)], MILLISECOND, Fraction(1, 16000))
    grid = find_grid(stamps, Fraction(1, 16000), [rate * Fraction(1001, 1000), Fraction(1000)])
    assert grid is not None
    assert grid.rate == rate


def test_hundredths_hide_a_rate_too() -> None:
    """A GIF at 30 frames a second waits 3, 3 and 4 hundredths."""
    stamps = rounded([Fraction(i, 30) for i in range(60)], Fraction(1, 100), Fraction(1, 12800))
    grid = find_grid(stamps, Fraction(1, 12800), [])
    assert grid is not None
    assert grid.rate == 30


def test_any_coarse_unit_is_found() -> None:
    stamps = rounded([i / Fraction(24000, 1001) for i in range(300)], Fraction(1, 120), Fraction(1, 90000))
    grid = find_grid(stamps, Fraction(1, 90000), [])
    assert grid is not None
    assert (grid.rate, grid.whole) == (Fraction(24000, 1001), True)


def test_exact_times_are_not_taken_for_rounded_ones() -> None:
    """40 ms are 4 hundredths: a frame that comes 8 ms late later on stays late."""
    stamps = [Fraction(i, 25) for i in range(100)]
    grid = find_grid(stamps, Fraction(1, 12800), [Fraction(25)])
    assert grid == Grid(rate=Fraction(25), rounding=Fraction(1, 12800), whole=True)


def test_a_pause_leaves_the_grid_and_the_rate_is_not_constant() -> None:
    times = [Fraction(i, 24) for i in (*range(30), *range(90, 130))]
    grid = find_grid(rounded(times, MILLISECOND, MILLISECOND), MILLISECOND, [Fraction(24)])
    assert grid == Grid(rate=Fraction(24), rounding=MILLISECOND, whole=False)


@law
@given(st.lists(st.integers(20, 90), min_size=8, max_size=60))
def test_variable_times_have_no_grid(gaps: list[int]) -> None:
    """Phones write whatever the camera took."""
    if len(set(gaps)) < 5:
        return
    stamps = [Fraction(sum(gaps[:i]), 1000) for i in range(len(gaps) + 1)]
    assert find_grid(stamps, MILLISECOND, [Fraction(25), Fraction(1000)]) is None


@law
@given(st.lists(st.fractions(0, 3, max_denominator=3000), min_size=3, max_size=30, unique=True))
def test_regularising_keeps_order_and_moves_by_the_rounding_at_most(times: list[Fraction]) -> None:
    tick = Fraction(1, 16000)
    stamps = sorted({round(time / tick) * tick for time in times})
    regular = Regularizer(Grid(rate=Fraction(24000, 1001), rounding=MILLISECOND, whole=True), tick, stamps[0])
    found = [regular(time) for time in stamps]
    assert all(a < b for a, b in itertools.pairwise(found))
    limit = MILLISECOND + len(stamps) * tick
    assert all(abs(a - b) <= limit for a, b in zip(found, stamps, strict=True))


def test_no_grid_leaves_times_alone() -> None:
    assert Regularizer(None, MILLISECOND, Fraction(0))(Fraction(41, 1000)) == Fraction(41, 1000)


def remux(source: Path, target: Path) -> Path:
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        copies = {stream.index: after.add_stream_from_template(stream, opaque=True) for stream in before.streams}
        for packet in before.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                after.mux(packet)
    return target


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".nut", ".avi", ".flv", ".mov"])
@pytest.mark.parametrize("rate", [Fraction(24), Fraction(24000, 1001), Fraction(30)])
def test_files_that_were_in_matroska(
    artifact: Path, tmp_path: Path, blenders: list[Blender], suffix: str, rate: Fraction
) -> None:
    """Twice the rate keeps every original frame, and makes one between each two."""
    sound = "" if suffix == ".avi" else "aac"  # AVI would put the first frame before the sound that starts early
    clip = Clip(times=even(rate, 24), rate=rate, audio=sound)
    source = remux(write_clip(tmp_path / "in.mkv", clip), tmp_path / f"remux{suffix}")
    opened = VideoSource(str(source), lambda _: None)
    assert opened.info.rate == rate
    opened.close()
    double = 2 * rate
    arguments = ["--fps", str(double), "--encoder-option", "qp=0", "--preset", "ultrafast"]
    assert main(["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact), *arguments]) == 0
    assert len(blenders[-1].calls) == 23
    before, after = read_video(source), read_video(tmp_path / "out.mp4")
    assert len(after) == 48
    assert all(np.array_equal(a.planes, b.planes) for a, b in zip(before, after[::2], strict=True))
    assert {b.time - a.time for a, b in itertools.pairwise(after)} == {1 / double}
