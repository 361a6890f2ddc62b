"""A clip whose every second frame is taken out, and how well the frames that a method made in their places fit.

Both files are lossless, with the same loss of colour resolution (yuv420p), so that the truth is what a perfect method
could give. Real footage is that of the accuracy benchmark, which no built-in weights were trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.accuracy.footage import CLIPS
from benchmarks.errors import BenchmarkError
from export.parity_frames import moving_frame
from ifrnet.footage.catalogue import MEDIA
from ifrnet.footage.download import fetch
from ifrnet.footage.errors import FootageError
from ifrnet.footage.triplets import STATIC, differences, find_cuts, small_gray
from ifrnet.footage.video import Frame, read_frames
from runtimes.compare import psnr
from runtimes.contract import Size
from runtimes.frames import to_frame

RATE = 24
"""Frames a second of the whole clip; what the methods get has half of it."""

SCENE = "scene"
"""Name of the rendered scene."""

DEFAULT = "bbb"

NAMES = (*(name for part in CLIPS.values() for name in part), SCENE)
"""What ``--clip`` takes, besides files."""

PAN = 4
"""Steps of the rendered scene between the two frames that the proof has: its motion is large."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A prepared clip.

    Attributes:
        name: for people, where the frames come from.
        source: what ``--clip`` was, or what took its place.
        whole: all frames, one stretch after the other.
        given: frames 0, 2, 4, ..., which the methods get.
        count: frames of ``whole``, odd.
        joins: frames of ``whole`` between two stretches, which methods make too and nothing is the truth of.
    """

    name: str
    source: str
    whole: Path
    given: Path
    count: int
    joins: frozenset[int] = frozenset()


def prepare(
    clip: str | None, size: Size, made: int, folder: Path, tell: Callable[[str], None], stretches: int = 1
) -> HeldOut:
    """Write both files.

    Args:
        clip: one of :data:`NAMES` or a video file; None for :data:`DEFAULT`, or, where that cannot be had, the scene.
        size: of the frames; footage is cut to its shape around the centre, and resized.
        made: how many frames are taken out of each stretch.
        folder: receives the files.
        tell: receives a line on what takes the place of footage.
        stretches: how many parts of the clip follow each other, from slow to fast.

    Raises:
        BenchmarkError: no such clip, one that is too short, or several stretches of what is no footage of ours.
        FootageError: footage that was asked for by name cannot be had.
    """
    count = 2 * made + 1
    parts = _parts(clip, count, tell, size, stretches)
    fitted: list[Frame] = []
    for frames in parts.frames:
        part = [_fit(frame, size) for frame in frames]
        if len(part) < count:
            raise BenchmarkError(
                f"{parts.name} has {len(part)} frames without a cut; --frames {made} needs {count}: ask for fewer"
            )
        fitted += [fitted[-1], *part] if fitted else part
    whole, given = folder / "whole.mp4", folder / "given.mp4"
    write_lossless(whole, fitted, RATE)
    write_lossless(given, fitted[::2], RATE // 2)
    joins = frozenset(range(count, len(fitted), count + 1))
    return HeldOut(name=parts.name, source=parts.source, whole=whole, given=given, count=len(fitted), joins=joins)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """Frames of each stretch, and where they come from: for people, and by the name of the clip."""

    name: str
    source: str
    frames: Sequence[Iterable[Frame]]


def _parts(clip: str | None, count: int, tell: Callable[[str], None], size: Size, stretches: int) -> _Parts:
    """Stretches of at most ``count`` frames."""
    if clip is None or clip in MEDIA:
        try:
            return _evaluation_parts(clip or DEFAULT, fetch(clip or DEFAULT), count, stretches)
        except FootageError as error:
            if clip is not None:
                raise
            tell(f"{DEFAULT} cannot be had ({error}): the rendered scene takes its place")
            clip = SCENE
    if clip != SCENE and not Path(clip).is_file():
        raise BenchmarkError(f"--clip {clip}: expected {', '.join(NAMES)}, or a video file")
    if stretches != 1:
        raise BenchmarkError(f"--stretches {stretches}: {clip} has one, ask for more --frames instead")
    if clip == SCENE:
        times = ((i / PAN) for i in range(count))
        scene = (to_frame(moving_frame(size, time), np.dtype(np.uint8)) for time in times)
        return _Parts(name="the rendered scene", source=SCENE, frames=[scene])
    file = Path(clip)
    return _Parts(name=file.name, source=file.stem, frames=[islice(read_frames(file), count)])


def _evaluation_parts(name: str, path: Path, count: int, stretches: int) -> _Parts:
    """Stretches without a cut or a stop, from slow to fast, of what is kept for evaluation."""
    if name not in NAMES:
        raise BenchmarkError(f"--clip {name} was trained on: expected {', '.join(NAMES)}, or a video file")
    media = MEDIA[name]
    first, last = media.evaluation or (0, None)
    stop = None if last is None else last + 1
    steps = differences(small_gray(frame) for frame in read_frames(path, media.rows, start=first, stop=stop))
    ranked = sorted(windows(steps, find_cuts(steps), count), key=lambda i: float(steps[i : i + count - 1].mean()))
    starts = [first + start for start in spread(ranked, count, stretches)]
    if len(starts) < stretches:
        raise BenchmarkError(
            f"--clip {name} has {len(starts)} stretches of {count} frames that move and have no cut, of {stretches} "
            "asked for: ask for fewer --frames or --stretches"
        )
    shown = ", ".join(f"{start} to {start + count - 1}" for start in starts)
    return _Parts(
        name=f"{name}, frames {shown} ({media.attribution}, {media.licence})",
        source=name,
        frames=[read_frames(path, media.rows, start=start, stop=start + count) for start in starts],
    )


def spread(ranked: Sequence[int], count: int, wanted: int) -> list[int]:
    """Stretches that do not overlap, at equal steps of rank: the one in the middle where one is wanted.

    Args:
        ranked: first frames of all stretches, from slow to fast.
        count: frames of each.
        wanted: how many; fewer come back where there are not so many.
    """
    found: list[int] = []
    for i in range(wanted):
        free = [rank for rank, start in enumerate(ranked) if all(abs(start - other) >= count for other in found)]
        if free:
            aim = (2 * i + 1) * len(ranked) // (2 * wanted)
            found.append(ranked[min(free, key=lambda rank: abs(rank - aim))])
    return found


def windows(steps: np.ndarray, cuts: np.ndarray, count: int) -> list[int]:
    """First frames of all stretches of ``count`` frames in which something moves at each step, and nothing is cut.

    Args:
        steps: differences between neighbouring frames, see :func:`ifrnet.footage.triplets.differences`.
        cuts: which of them are cuts.
    """
    fine = (steps >= STATIC) & ~cuts
    return [i for i in range(len(steps) - count + 2) if fine[i : i + count - 1].all()]


def _fit(frame: Frame, size: Size) -> Frame:
    """Cut to the shape of ``size`` around the centre, and resized."""
    if frame.shape[:2] == (size.height, size.width):
        return frame
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(Image.fromarray(frame), (size.width, size.height), Image.Resampling.LANCZOS))


def write_lossless(path: Path, frames: Sequence[Frame], rate: int) -> None:
    """H.264 without loss, 4:2:0."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"qp": "0", "preset": "ultrafast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))


def score(output: Path, clip: HeldOut) -> dict[int, float]:
    """Index of a frame that was taken out -> PSNR in dB of what a method put in its place, where it put something.

    Args:
        output: what the method made, at the times of ``clip.whole``.
        clip: with the truth.
    """
    import av

    truth = {index: frame for index, frame in enumerate(read_frames(clip.whole)) if index % 2}
    found = {}
    with av.open(str(output)) as container:
        for frame in container.decode(video=0):
            index = round(frame.time * RATE)
            if index in truth and abs(frame.time * RATE - index) < 0.25:
                found[index] = psnr(frame.to_ndarray(format="rgb24") / 255.0, truth[index] / 255.0)
    return found
