"""A clip whose every second frame is taken out, and how well the frames that a method made in their places fit.

Both files are lossless, with the same loss of colour resolution (yuv420p), so that the truth is what a perfect method
could give. Real footage is that of the accuracy benchmark, which no built-in weights were trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
        whole: all frames.
        given: frames 0, 2, 4, ..., which the methods get.
        count: frames of ``whole``, odd.
    """

    name: str
    whole: Path
    given: Path
    count: int


def prepare(clip: str | None, size: Size, made: int, folder: Path, tell: Callable[[str], None]) -> HeldOut:
    """Write both files.

    Args:
        clip: one of :data:`NAMES` or a video file; None for :data:`DEFAULT`, or, where that cannot be had, the scene.
        size: of the frames; footage is cut to its shape around the centre, and resized.
        made: how many frames are taken out.
        folder: receives the files.
        tell: receives a line on what takes the place of footage.

    Raises:
        BenchmarkError: no such clip, or one that is too short.
        FootageError: footage that was asked for by name cannot be had.
    """
    count = 2 * made + 1
    name, frames = _frames(clip, count, tell, size)
    fitted = [_fit(frame, size) for frame in frames]
    if len(fitted) < count:
        raise BenchmarkError(
            f"{name} has {len(fitted)} frames without a cut; --frames {made} needs {count}: ask for fewer"
        )
    whole, given = folder / "whole.mp4", folder / "given.mp4"
    write_lossless(whole, fitted, RATE)
    write_lossless(given, fitted[::2], RATE // 2)
    return HeldOut(name=name, whole=whole, given=given, count=count)


def _frames(clip: str | None, count: int, tell: Callable[[str], None], size: Size) -> tuple[str, Iterator[Frame]]:
    """Where the frames come from, and at most ``count`` of them."""
    if clip == SCENE:
        times = ((i / PAN) for i in range(count))
        return "the rendered scene", (to_frame(moving_frame(size, time), np.dtype(np.uint8)) for time in times)
    if clip is not None and clip not in MEDIA:
        if not Path(clip).is_file():
            raise BenchmarkError(f"--clip {clip}: expected {', '.join(NAMES)}, or a video file")
        return Path(clip).name, islice(read_frames(Path(clip)), count)
    try:
        path = fetch(clip or DEFAULT)
    except FootageError as error:
        if clip is not None:
            raise
        tell(f"{DEFAULT} cannot be had ({error}): the rendered scene takes its place")
        return _frames(SCENE, count, tell, size)
    return _evaluation_window(clip or DEFAULT, path, count)


def _evaluation_window(name: str, path: Path, count: int) -> tuple[str, Iterator[Frame]]:
    """The stretch without a cut or a stop whose motion is the median of all such, from what is kept for evaluation."""
    if name not in NAMES:
        raise BenchmarkError(f"--clip {name} was trained on: expected {', '.join(NAMES)}, or a video file")
    media = MEDIA[name]
    first, last = media.evaluation or (0, None)
    stop = None if last is None else last + 1
    steps = differences(small_gray(frame) for frame in read_frames(path, media.rows, start=first, stop=stop))
    starts = windows(steps, find_cuts(steps), count)
    if not starts:
        raise BenchmarkError(
            f"--clip {name} has no {count} frames in a row that move and have no cut: ask for fewer --frames"
        )
    start = first + sorted(starts, key=lambda i: float(steps[i : i + count - 1].mean()))[len(starts) // 2]
    shown = f"{name}, frames {start} to {start + count - 1} ({media.attribution}, {media.licence})"
    return shown, read_frames(path, media.rows, start=start, stop=start + count)


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
