"""Which output frames there are, when, and between which source frames: rationals only, no floats, no I/O.

Times are seconds as :class:`fractions.Fraction`. *Source times* are those of the input; *output times* are
``source time * slowdown``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from runtimes.contract import Timesteps
from runtimes.errors import TimestepError, UsageError

MAX_FACTOR = 128
MAX_RATE = 1000
_LARGEST = 2**31 - 1
_NTSC = Fraction(1000, 1001)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The output times asked for: ``factor`` per source interval, or an even ``fps``; then ``slowdown``.

    Attributes:
        factor: output frames for each source frame; None with ``fps``. A fraction has to be :meth:`settled` first.
        fps: output frames a second; None with ``factor``.
        slowdown: output seconds for each source second, at least 1.
    """

    factor: Fraction | int | None = 2
    fps: Fraction | None = None
    slowdown: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if (self.factor is None) == (self.fps is None):
            raise UsageError("pass either a factor or a frame rate, not both and not neither")
        if self.factor is not None and not 1 <= self.factor <= MAX_FACTOR:
            raise UsageError(f"the factor is {self.factor}; expected 1 to {MAX_FACTOR}")
        if self.fps is not None and not 0 < self.fps <= MAX_RATE:
            raise UsageError(f"the frame rate is {self.fps}; expected more than 0, up to {MAX_RATE}")
        if not 1 <= self.slowdown <= MAX_FACTOR:
            raise UsageError(f"the slow motion is {self.slowdown}; expected 1 to {MAX_FACTOR}")

    def settled(self, source_rate: Fraction | None) -> Timing:
        """Itself; a factor that is a fraction becomes the even frame rate that it means at a constant rate.

        Raises:
            UsageError: the source has no constant rate.
        """
        if self.factor is None or Fraction(self.factor).denominator == 1:
            return self if self.factor is None else replace(self, factor=int(self.factor))
        if source_rate is None:
            raise UsageError(
                f"a factor of {float(self.factor):g} needs a constant frame rate, which this source does not have: "
                "pass a whole factor, or --fps"
            )
        return replace(self, factor=None, fps=source_rate * self.factor / self.slowdown)

    def rate(self, source_rate: Fraction | None) -> Fraction | None:
        """Output frames a second of a source of constant rate; None when that is unknown."""
        if self.fps is not None:
            return self.fps
        assert self.factor is not None
        return None if source_rate is None else source_rate * self.factor / self.slowdown


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One output frame: when it shows, for how long, and the source time it depicts."""

    time: Fraction
    duration: Fraction
    source: Fraction


def parse_rate(text: str) -> Fraction:
    """Read ``60``, ``24000/1001``, ``59.94`` or ``23.976``; the decimal names of NTSC rates mean the exact ratios.

    Raises:
        UsageError: not a positive number.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise UsageError(
            f"frame rate is {text!r}; expected a number or a ratio, for example 60 or 24000/1001"
        ) from None
    if not 0 < rate <= MAX_RATE:
        raise UsageError(f"frame rate is {text}; expected more than 0, up to {MAX_RATE}")
    ntsc = round(rate / _NTSC) * _NTSC
    return ntsc if "." in text and rate.denominator != 1 and abs(rate - ntsc) < Fraction(1, 1000) else rate


def slots(
    timing: Timing, origin: Fraction, left: Fraction, right: Fraction, since: Fraction | None = None
) -> Iterator[Slot]:
    """The output frames that depict source times in ``[left, right)``, in order; an even rate counts from ``origin``.

    ``left`` and ``right`` are the times of neighbouring source frames, or of the last one and its end. Neighbouring
    intervals share no slot and leave no gap. With ``since``, only those from that source time on.
    """
    begin = left if since is None else max(left, since)
    if timing.factor is not None:
        step = (right - left) / timing.factor
        for i in range(math.ceil((begin - left) / step), int(timing.factor)):
            source = left + i * step
            yield Slot(time=source * timing.slowdown, duration=step * timing.slowdown, source=source)
        return
    assert timing.fps is not None
    spacing = 1 / (timing.fps * timing.slowdown)  # of source time
    index = math.ceil((begin - origin) / spacing)
    while (source := origin + index * spacing) < right:
        yield Slot(time=source * timing.slowdown, duration=1 / timing.fps, source=source)
        index += 1


def depth_of(t: Fraction) -> int:
    """How often an interval is halved to reach ``t``: 1 for 1/2, 2 for 1/4 and 3/4, ...; -1 if halving never does."""
    denominator = t.denominator
    return denominator.bit_length() - 1 if denominator & (denominator - 1) == 0 else -1


def check_timing(timing: Timing, timesteps: Timesteps, source_rate: Fraction | None) -> None:
    """Refuse, before any work, a timing that a t = 0.5 model cannot serve by halving.

    Raises:
        TimestepError: the ratio is not a power of two.
    """
    if timesteps is not Timesteps.MIDDLE:
        return
    reason = "this checkpoint was trained at t = 0.5 only and reaches other times by halving: "
    if timing.factor is not None:
        if depth_of(Fraction(1, timing.factor)) < 0:
            low = 2 ** (int(timing.factor).bit_length() - 1)
            raise TimestepError(
                f"the factor is {timing.factor}, but {reason}pass {low} or {2 * low}, or use a checkpoint for any t"
            )
        return
    assert timing.fps is not None
    if source_rate is None:
        raise TimestepError(f"the source has no constant frame rate, but {reason}pass --factor 2, 4, 8, ...")
    ratio = timing.fps * timing.slowdown / source_rate
    served = depth_of(1 / ratio) >= 0 and ratio.denominator == 1 if ratio >= 1 else (1 / ratio).denominator == 1
    if not served:
        near = 2 ** max(1, round(math.log2(ratio)))
        raise TimestepError(
            f"{timing.fps} frames a second from {source_rate} is a ratio of {ratio}, but {reason}pass --factor {near} "
            f"({float(source_rate * near):g} fps), or use a checkpoint for any t"
        )


def common_unit(*values: Fraction) -> Fraction:
    """The largest rational of which all non-zero ``values`` are whole multiples."""
    unit = Fraction(0)
    for value in values:
        unit = Fraction(
            math.gcd(unit.numerator * value.denominator, value.numerator * unit.denominator),
            unit.denominator * value.denominator,
        )
    return unit


def output_unit(timing: Timing, origin: Fraction, tick: Fraction, rate: Fraction | None) -> Fraction:
    """A time base in which every output time is whole; a microsecond where containers could not store that.

    Args:
        origin: time of the first source frame.
        tick: time base of the source.
        rate: rate of the grid that source times are put on, see :mod:`runtimes.video.cadence`, or None.
    """
    if timing.fps is not None:
        unit = common_unit(origin * timing.slowdown, 1 / timing.fps)
    else:
        assert timing.factor is not None
        scale = timing.slowdown / timing.factor
        unit = common_unit(tick, tick * scale, *([] if rate is None else [scale / rate]))
    return unit if unit.denominator <= _LARGEST and unit.numerator <= _LARGEST else Fraction(1, 1_000_000)
