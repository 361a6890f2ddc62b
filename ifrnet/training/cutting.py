"""Short square clips cut once from whole videos: decoding video in every step would starve the training.

``prepare`` writes clips of :data:`LENGTH` frames into one memory-mapped array. An index lists the fair triplets
(i, j, i + k) of each clip, which give training pairs at t = (j - i) / k, and how fast it moves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ifrnet.footage.triplets import Triplet, differences, find_cuts, is_fair, small_gray
from ifrnet.footage.video import Frame, read_frames
from ifrnet.training.errors import TrainingError
from ifrnet.training.flow import Dis, motion
from runtimes.atomic import replacing, write_text

LENGTH = 7
"""Frames of a clip."""

SIDE = 256
"""Height and width of a clip in pixels: motion of 100 px has to find its match in a crop."""

SMALLEST = 192
"""Height and width from which frames are usable: smaller ones than a clip are enlarged to its side."""

INDEX = "clips.json"
ARRAY = "clips.npy"

SPACINGS = (2, 3, 4, 6)
"""Distances k between the outer frames of a triplet."""

FAST = 10.0
"""Pixels a frame from which a window gives :data:`FAST_PLACES` clips: fast shots are few, and what is learnt last."""

FAST_PLACES = 3


@dataclass(frozen=True, kw_only=True)
class ClipSource:
    """A video to cut clips from.

    Attributes:
        name: for messages and provenance.
        path: the video.
        rows: picture rows, see :func:`ifrnet.footage.video.read_frames`.
        usable: whether a frame index may be used.
        stride: frames between the starts of clips.
        per_window: clips cut from each window, at different places.
        scales: divisors of the frame size, drawn at random.
    """

    name: str
    path: Path
    rows: tuple[int, int] | None = None
    usable: Callable[[int], bool] = lambda _: True
    stride: int = 3
    per_window: int = 1
    scales: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A square of LENGTH frames: its pixels, the fair triplets among them, its motion, where it comes from.

    Attributes:
        frames: (LENGTH, side, side, 3) RGB.
        triplets: those that may be trained on.
        speed: motion in pixels of the clip a frame.
        place: index of the first frame in its video, then top, left and side of the piece of picture it was cut from.
    """

    frames: NDArray[np.uint8]
    triplets: list[Triplet]
    speed: float
    place: tuple[int, int, int, int]


def prepare(sources: Sequence[ClipSource], folder: Path, seed: int = 0, side: int = SIDE) -> int:
    """Cut clips of every source, ``side`` px high and wide, into ``folder``. Returns their number.

    Raises:
        TrainingError: no source gave a clip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    with replacing(folder / ARRAY) as partial:
        with partial.open("wb") as out:
            for source in sources:
                for clip in _cut(source, np.random.default_rng((seed, len(rows))), Dis(), side):
                    out.write(clip.frames.tobytes())
                    triplets = [[t.first, t.middle, t.last] for t in clip.triplets]
                    row = {"source": source.name, "place": clip.place, "speed": round(clip.speed, 2)}
                    rows.append({**row, "triplets": triplets})
        if not rows:
            names = ", ".join(str(source.path) for source in sources) or "no video"
            raise TrainingError(
                f"no clip could be cut from {names}: looked for {LENGTH} consecutive frames of at least "
                f"{SMALLEST}x{SMALLEST} without a cut, with visible and even motion"
            )
    write_text(folder / INDEX, json.dumps({"length": LENGTH, "side": side, "clips": rows}))
    return len(rows)


def _cut(source: ClipSource, rng: np.random.Generator, estimator: Dis, side: int) -> Iterator[Clip]:
    """The clips of a video; two passes over it."""
    starts = _windows(source)
    ring: list[Frame] = []
    for index, frame in enumerate(read_frames(source.path, source.rows)):
        ring = [*ring[-(LENGTH - 1) :], frame]
        triplets = starts.get(index - LENGTH + 1)
        if triplets is None:
            continue
        wanted, cut = source.per_window, 0
        while cut < wanted and (place := _place(ring, source.scales, rng, side)) is not None:
            top, left, piece = place
            frames = np.stack([_resized(frame[top : top + piece, left : left + piece], side) for frame in ring])
            speed = motion(frames[LENGTH // 2], frames[LENGTH // 2 + 1], estimator)
            yield Clip(frames=frames, triplets=triplets, speed=speed, place=(index - LENGTH + 1, *place))
            cut += 1
            wanted = max(wanted, FAST_PLACES) if speed >= FAST else wanted


def _windows(source: ClipSource) -> dict[int, list[Triplet]]:
    """First frame of every usable window -> its fair triplets."""
    steps = differences(small_gray(frame) for frame in read_frames(source.path, source.rows))
    cuts = find_cuts(steps)
    starts: dict[int, list[Triplet]] = {}
    for start in range(0, len(steps) + 2 - LENGTH, source.stride):
        if all(map(source.usable, range(start, start + LENGTH))) and not cuts[start : start + LENGTH - 1].any():
            fair = [t for t in _triplets() if is_fair(steps[start:], cuts[start:], t)]
            if any(t.last - t.first == 2 for t in fair):
                starts[start] = fair
    return starts


def _triplets() -> list[Triplet]:
    """Every triplet of a clip with a spacing of :data:`SPACINGS`."""
    return [
        Triplet(first=i, middle=j, last=i + k) for k in SPACINGS for i in range(LENGTH - k) for j in range(i + 1, i + k)
    ]


def _place(
    frames: Sequence[Frame], scales: tuple[int, ...], rng: np.random.Generator, side: int
) -> tuple[int, int, int] | None:
    """Top, left and side of a square where something moves; None where the frame is too small."""
    height, width = frames[0].shape[:2]
    shorter = min(height, width)
    if shorter < SMALLEST:
        return None
    fitting = [side * scale for scale in scales if shorter >= side * scale] or [shorter]
    piece = fitting[int(rng.integers(len(fitting)))]
    places = [(int(rng.integers(height - piece + 1)), int(rng.integers(width - piece + 1))) for _ in range(4)]

    def change(place: tuple[int, int]) -> float:
        window = np.s_[place[0] : place[0] + piece : 4, place[1] : place[1] + piece : 4, 1]
        return float(np.abs(frames[-1][window].astype(np.int16) - frames[0][window]).mean())

    return (*max(places, key=change), piece)


def _resized(square: Frame, side: int) -> Frame:
    """(P, P, 3) -> (side, side, 3): averaged over blocks where it is a multiple, bilinear where it is smaller."""
    piece = square.shape[0]
    if piece < side:
        import cv2  # only for videos smaller than a clip

        return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    if piece == side:
        return square
    scale = piece // side
    blocks = square.reshape(side, scale, side, scale, 3)
    return np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)
