"""The timeline is pure, so its laws are checked on arbitrary clips."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.contract import Timesteps
from runtimes.errors import TimestepError, UsageError
from runtimes.video.timeline import (
    Slot,
    Timing,
    check_timing,
    common_unit,
    depth_of,
    output_unit,
    parse_rate,
    slots,
)

law = settings(max_examples=40, deadline=None)  # a deadline would measure the machine

rates = st.sampled_from(
    [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(10, 3)]
)
timings = st.one_of(
    st.builds(Timing, factor=st.integers(1, 9), slowdown=st.sampled_from([Fraction(1), Fraction(4), Fraction(5, 2)])),
    st.builds(Timing, factor=st.none(), fps=rates, slowdown=st.sampled_from([Fraction(1), Fraction(3)])),
)
clips = st.lists(st.fractions(Fraction(1, 100), 1, max_denominator=300), min_size=2, max_size=12).flatmap(
    lambda gaps: st.fractions(0, 3, max_denominator=90).map(
        lambda start: [start + sum(gaps[:i], Fraction(0)) for i in range(len(gaps) + 1)]
    )
)


def all_slots(timing: Timing, times: list[Fraction]) -> list[Slot]:
    return [s for left, right in itertools.pairwise(times) for s in slots(timing, times[0], left, right)]


@law
@given(timings, clips)
def test_duration_is_kept_within_one_frame(timing: Timing, times: list[Fraction]) -> None:
    found = all_slots(timing, times)
    end = times[-1] * timing.slowdown
    last = found[-1]
    assert found[0].time == times[0] * timing.slowdown
    assert abs(last.time + last.duration - end) <= last.duration
    if timing.factor is not None:
        assert last.time + last.duration == end


@law
@given(timings, clips)
def test_output_has_no_gap_and_no_overlap(timing: Timing, times: list[Fraction]) -> None:
    found = all_slots(timing, times)
    assert all(a.time + a.duration == b.time for a, b in itertools.pairwise(found))
    assert all(slot.duration > 0 for slot in found)


@law
@given(timings, clips)
def test_output_times_are_source_times_slowed_down(timing: Timing, times: list[Fraction]) -> None:
    for slot in all_slots(timing, times):
        assert slot.time == slot.source * timing.slowdown


@law
@given(st.integers(1, 9), clips)
def test_a_factor_keeps_every_source_frame(factor: int, times: list[Fraction]) -> None:
    sources = {slot.source for slot in all_slots(Timing(factor=factor), times)}
    assert set(times[:-1]) <= sources
    assert len(sources) == factor * (len(times) - 1)


@law
@given(timings, clips, st.sampled_from([Fraction(1, 1000), Fraction(1, 90000), Fraction(1, 12800)]))
def test_every_output_time_is_whole_in_the_output_unit(timing: Timing, times: list[Fraction], tick: Fraction) -> None:
    ticks = [round(time / tick) * tick for time in times]
    unit = output_unit(timing, ticks[0], tick, None)
    found = all_slots(timing, [t for i, t in enumerate(ticks) if i == 0 or t > ticks[i - 1]])
    if unit != Fraction(1, 1_000_000):
        assert all((slot.time / unit).denominator == 1 for slot in found)
    assert unit.denominator < 2**31
    assert unit.numerator < 2**31


@law
@given(st.lists(st.fractions(0, 5, max_denominator=1000), min_size=1, max_size=5).filter(any))
def test_common_unit_divides_and_is_the_largest(values: list[Fraction]) -> None:
    unit = common_unit(*values)
    counts = [value / unit for value in values]
    assert all(count.denominator == 1 for count in counts)
    from math import gcd

    assert gcd(*(count.numerator for count in counts)) == 1


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60", Fraction(60)),
        ("23.976", Fraction(24000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("47.952", Fraction(48000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("12.5", Fraction(25, 2)),
        ("25.0", Fraction(25)),
    ],
)
def test_rates_are_read_exactly(text: str, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "-5", "1/0", "5000", "nan", "inf"])
def test_other_rates_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="frame rate is"):
        parse_rate(text)


def test_23_976_to_60_is_exact_over_an_hour() -> None:
    """2.5025 output frames a source frame: every 1001/400ths source frame falls on an output time."""
    times = [Fraction(1001, 24000) * i for i in range(24 * 3600)]
    origin, timing = times[0], Timing(factor=None, fps=Fraction(60))
    last = list(slots(timing, origin, times[-2], times[-1]))[-1]
    assert last.time * 60 == int(last.time * 60)
    assert last.source == last.time
    passing = [i for i in range(0, 2001) if (times[i] * 60).denominator == 1]
    assert passing == [0, 400, 800, 1200, 1600, 2000]


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 32])
def test_powers_of_two_are_served_by_halving(factor: int) -> None:
    check_timing(Timing(factor=factor), Timesteps.MIDDLE, None)
    check_timing(Timing(factor=None, fps=24 * Fraction(factor)), Timesteps.MIDDLE, Fraction(24))


@pytest.mark.parametrize(
    ("timing", "rate", "fix"),
    [
        (Timing(factor=3), Fraction(24), "pass 2 or 4"),
        (Timing(factor=12), Fraction(24), "pass 8 or 16"),
        (Timing(factor=None, fps=Fraction(60)), Fraction(24), r"--factor 2 \(48 fps\)"),
        (Timing(factor=None, fps=Fraction(60)), Fraction(30000, 1001), r"--factor 2 \(59.9401 fps\)"),
        (Timing(factor=None, fps=Fraction(60)), None, "--factor 2, 4, 8"),
        (Timing(factor=None, fps=Fraction(20)), Fraction(30), "ratio of 2/3"),
    ],
)
def test_other_ratios_are_refused_with_the_fix(timing: Timing, rate: Fraction | None, fix: str) -> None:
    with pytest.raises(TimestepError, match=fix):
        check_timing(timing, Timesteps.MIDDLE, rate)
    check_timing(timing, Timesteps.ANY, rate)


@pytest.mark.parametrize(
    ("t", "depth"),
    [(Fraction(1, 2), 1), (Fraction(3, 4), 2), (Fraction(5, 8), 3), (Fraction(1, 3), -1), (Fraction(1, 6), -1)],
)
def test_depth(t: Fraction, depth: int) -> None:
    assert depth_of(t) == depth


@pytest.mark.parametrize(
    "wrong",
    [
        {"factor": 0},
        {"factor": 1000},
        {"factor": 2, "fps": Fraction(60)},
        {"factor": None},
        {"factor": None, "fps": Fraction(0)},
        {"factor": 2, "slowdown": Fraction(1, 2)},
    ],
)
def test_contradicting_timings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Timing(**wrong)  # type: ignore[arg-type]
