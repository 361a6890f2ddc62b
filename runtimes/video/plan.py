"""From a stream of pictures to the work between each two: which output frames, at which t, and where not to blend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice, pairwise

from av.video.frame import VideoFrame

from runtimes.contract import Timesteps
from runtimes.errors import TimestepError
from runtimes.frames import Array
from runtimes.video.errors import VideoError
from runtimes.video.scenes import Thumbnail, cut_score, is_duplicate
from runtimes.video.timeline import Slot, Timing, depth_of, slots

MAX_REPEATS = 3
"""Duplicates in a row that ``dedup`` takes out: animation on fours. A longer still is a still, and stays."""

_LONGEST_REPEAT = Fraction(1, 2)
"""Seconds from a frame over its duplicates to the next new one, above which they are a still too."""

MAX_DEPTH = 7
"""Halvings of one interval, as many as the largest factor needs."""

BATCH = 8
"""Output frames of one segment at most, whatever lies between two source frames: a pause has thousands. Fewer would
encode a pair more often for factors up to 9; more would only add memory."""

_LAST_STEP = 1 - Fraction(1, 1 << 24)
"""The largest t below 1 in float32. Where a recorder rounds times, an output frame can fall 1e-8 of a pause before a
source frame."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A source frame, prepared once for both intervals it bounds. ``native`` is the decoded frame, if there was one.

    ``rgb`` is (H, W, 3), or (H, W, 4) where transparency is kept.
    """

    time: Fraction
    duration: Fraction | None
    rgb: Array
    native: VideoFrame | None
    thumbnail: Thumbnail | None


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Up to :data:`BATCH` output frames that depict source times from ``left`` up to, but not including, ``right``.

    ``steps`` holds t for each slot; 0 is ``left`` itself. ``right`` is None after the last frame, which is held.
    """

    left: Picture
    right: Picture | None
    slots: tuple[Slot, ...]
    steps: tuple[Fraction, ...]
    cut: bool = False


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How to plan. ``since`` and ``until`` bound the source times that are shown; ``loop`` goes on from the last frame
    before ``until`` to the one that shows at ``since``."""

    timing: Timing
    timesteps: Timesteps
    origin: Fraction
    rate: Fraction | None
    cut_threshold: float | None
    dedup: bool = False
    loop: bool = False
    since: Fraction | None = None
    until: Fraction | None = None

    @property
    def read_since(self) -> Fraction | None:
        """From where to read. To tell a still from a repeat, ``dedup`` sees more than the longest one before it."""
        return self.since if self.since is None or not self.dedup else self.since - 2 * _LONGEST_REPEAT


@dataclass
class Planner:
    """Counts what it saw while it plans; over the chunks of a job, each frame once."""

    rules: Rules
    name: str
    frames: int = 0
    cuts: int = 0
    duplicates: int = 0
    _run: list[Picture] = field(default_factory=list)
    """The frame on the left, and the duplicates that follow; of a still, its last frame alone."""
    _still: bool = False

    def plan(self, pictures: Iterable[Picture]) -> Iterator[Segment]:
        """Segments in order.

        Raises:
            VideoError: fewer than two frames.
            TimestepError: a time that a t = 0.5 checkpoint does not reach.
        """
        since, until = self.rules.since, self.rules.until
        gap: Fraction | None = None
        first: Picture | None = None
        seen = 0
        for picture in pictures:
            if self.rules.loop and (first is None or (since is not None and picture.time <= since)):
                first = picture
            seen += 1
            self.frames += self._is_ours(picture)
            if self._run:
                gap = picture.time - self._run[-1].time
                if first is not None and until is not None and picture.time >= until:
                    yield from self._between(replace(first, time=picture.time))
                    return
                repeats = self._repeats(picture)
                if repeats and not self._still and len(self._run) <= MAX_REPEATS and self._is_short(picture):
                    self._run.append(picture)
                    continue
                yield from self._between(picture, still=repeats)
                self._still = repeats
                if until is not None and picture.time >= until:
                    return
            self._run = [picture]
        if seen < 2 and since is None:
            raise VideoError(f"{self.name} has {seen} frame{'s' * (seen != 1)}; at least 2 are needed")
        if not self._run:
            return
        last = self._run[-1]
        length = last.duration or (1 / self.rules.rate if self.rules.rate else gap) or Fraction(1, 25)
        if first is not None:
            yield from self._between(replace(first, time=last.time + length))
        else:
            yield from self._hold(last.time + length)

    def _is_ours(self, picture: Picture) -> bool:
        """Whether it counts here, and not in the chunk before or after."""
        since, until = self.rules.since, self.rules.until
        return (since is None or picture.time >= since) and (until is None or picture.time < until)

    def _repeats(self, picture: Picture) -> bool:
        """Whether a frame is like the one before it, which does not depend on where reading began."""
        if not self.rules.dedup:
            return False
        before = self._run[-1].thumbnail
        assert before is not None
        assert picture.thumbnail is not None
        return is_duplicate(before, picture.thumbnail)

    def _is_short(self, right: Picture) -> bool:
        return right.time - self._run[0].time <= _LONGEST_REPEAT

    def _between(self, right: Picture, *, still: bool = False) -> Iterator[Segment]:
        """One segment up to ``right``; one for each frame of a still, and where halving cannot skip the duplicates."""
        times = [picture.time for picture in self._run] + [right.time]
        skipped = self.rules.timesteps is Timesteps.ANY or _halvable(times)
        if still or not skipped or not self._is_short(right):
            for left, following in pairwise([*self._run, right]):
                yield from self._segment(left, following, [left.time, following.time])
            return
        self.duplicates += sum(map(self._is_ours, self._run[1:]))
        yield from self._segment(self._run[0], right, times)

    def _segment(self, left: Picture, right: Picture, times: Sequence[Fraction]) -> Iterator[Segment]:
        threshold = self.rules.cut_threshold
        cut = False
        if threshold is not None:
            assert left.thumbnail is not None
            assert right.thumbnail is not None
            cut = cut_score(left.thumbnail, right.thumbnail) >= threshold
        self.cuts += cut and self._is_ours(left)
        for found in _batches(self._slots(times)):
            steps = tuple((slot.source - left.time) / (right.time - left.time) for slot in found)
            if self.rules.timesteps is Timesteps.ANY:
                steps = tuple(min(t, _LAST_STEP) for t in steps)
            if not cut:
                for slot, t in zip(found, steps, strict=True):
                    self._check(slot, t)
            yield Segment(left=left, right=right, slots=found, steps=steps, cut=cut)

    def _hold(self, end: Fraction) -> Iterator[Segment]:
        """The last frame. Duplicates before it stay: there is nothing new to go on to."""
        for left, following in pairwise(self._run):
            yield from self._segment(left, following, [left.time, following.time])
        last = self._run[-1]
        for found in _batches(self._slots([last.time, end])):
            yield Segment(left=last, right=None, slots=found, steps=(Fraction(0),) * len(found))

    def _slots(self, times: Sequence[Fraction]) -> Iterator[Slot]:
        rules = self.rules
        for left, right in pairwise(times):
            for slot in slots(rules.timing, rules.origin, left, right, since=rules.since):
                if rules.until is not None and slot.source >= rules.until:
                    return
                yield slot

    def _check(self, slot: Slot, t: Fraction) -> None:
        if self.rules.timesteps is Timesteps.MIDDLE and not 0 <= depth_of(t) <= MAX_DEPTH:
            raise TimestepError(
                f"the frame at {float(slot.source):.3f} s lies at t = {t} between unevenly spaced source frames, and "
                "this checkpoint was trained at t = 0.5 only: pass --factor 2, 4, 8, ..., or use a checkpoint for any t"
            )


def _batches(found: Iterator[Slot]) -> Iterator[tuple[Slot, ...]]:
    while batch := tuple(islice(found, BATCH)):
        yield batch


def _halvable(times: Sequence[Fraction]) -> bool:
    """Whether halving reaches each inner time: even spacing, and a power of two of intervals."""
    gaps = {right - left for left, right in pairwise(times)}
    return len(gaps) == 1 and depth_of(Fraction(1, len(times) - 1)) >= 0
