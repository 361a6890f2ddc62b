"""Footage prepared for training: short square clips cut once from whole videos, and pictures for synthetic motion.

Decoding video in every step would starve the training, so ``prepare`` writes clips of :data:`LENGTH` frames into one
memory-mapped array. Of each clip an index lists the fair triplets (i, j, i + k), which give training pairs at
t = (j - i) / k.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifrnet.footage.triplets import Triplet, differences, find_cuts, is_fair, small_gray
from ifrnet.footage.video import Frame, read_frames
from ifrnet.training.errors import TrainingError
from ifrnet.training.flow import FlowEstimator
from ifrnet.training.samples import Sample, without_flow
from runtimes.atomic import replacing, write_text

LENGTH = 7
"""Frames of a clip."""

SIDE = 192
"""Height and width of a clip in pixels."""

INDEX = "clips.json"
ARRAY = "clips.npy"

SPACINGS = (2, 2, 2, 3, 4, 4, 6)
"""Distances k between the outer frames of a triplet; a value listed twice is drawn twice as often."""


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


def prepare(sources: Sequence[ClipSource], folder: Path, seed: int = 0) -> int:
    """Cut clips of every source into ``folder``. Returns their number.

    Raises:
        TrainingError: no source gave a clip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    with replacing(folder / ARRAY) as partial:
        with partial.open("wb") as out:
            for source in sources:
                for clip, triplets in _cut(source, np.random.default_rng((seed, len(rows)))):
                    out.write(clip.tobytes())
                    rows.append({"source": source.name, "triplets": [[t.first, t.middle, t.last] for t in triplets]})
        if not rows:
            names = ", ".join(str(source.path) for source in sources) or "no video"
            raise TrainingError(
                f"no clip could be cut from {names}: looked for {LENGTH} consecutive frames of at least {SIDE}x{SIDE} "
                "without a cut, with visible and even motion"
            )
    write_text(folder / INDEX, json.dumps({"length": LENGTH, "side": SIDE, "clips": rows}))
    return len(rows)


def _cut(source: ClipSource, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.uint8], list[Triplet]]]:
    """Clips (LENGTH, SIDE, SIDE, 3) of a video with the fair triplets of their window; two passes over the video."""
    steps = differences(small_gray(frame) for frame in read_frames(source.path, source.rows))
    cuts = find_cuts(steps)
    starts: dict[int, list[Triplet]] = {}
    for start in range(0, len(steps) + 2 - LENGTH, source.stride):
        window = range(start, start + LENGTH)
        if all(source.usable(i) for i in (window[0], window[-1])) and not cuts[start : start + LENGTH - 1].any():
            fair = [t for t in _triplets() if is_fair(steps[start:], cuts[start:], t)]
            if any(t.last - t.first == 2 for t in fair):
                starts[start] = fair
    ring: list[Frame] = []
    for index, frame in enumerate(read_frames(source.path, source.rows)):
        ring = [*ring[-(LENGTH - 1) :], frame]
        triplets = starts.get(index - LENGTH + 1)
        if triplets is None:
            continue
        for _ in range(source.per_window):
            clip = _square(ring, source.scales, rng)
            if clip is not None:
                yield clip, triplets


def _triplets() -> list[Triplet]:
    """Every triplet of a clip with a spacing of :data:`SPACINGS`."""
    return [
        Triplet(first=i, middle=j, last=i + k)
        for k in sorted(set(SPACINGS))
        for i in range(LENGTH - k)
        for j in range(i + 1, i + k)
    ]


def _square(frames: Sequence[Frame], scales: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.uint8] | None:
    """A square where something moves, the same in every frame; None where the frame is too small."""
    height, width = frames[0].shape[:2]
    fitting = [scale for scale in scales if min(height, width) >= SIDE * scale]
    if not fitting:
        return None
    scale = fitting[int(rng.integers(len(fitting)))]
    piece = SIDE * scale
    places = [(int(rng.integers(height - piece + 1)), int(rng.integers(width - piece + 1))) for _ in range(4)]

    def motion(place: tuple[int, int]) -> float:
        window = np.s_[place[0] : place[0] + piece : 4, place[1] : place[1] + piece : 4, 1]
        return float(np.abs(frames[-1][window].astype(np.int16) - frames[0][window]).mean())

    top, left = max(places, key=motion)
    clip = np.stack([frame[top : top + piece, left : left + piece] for frame in frames])  # (7, piece, piece, 3)
    if scale > 1:
        blocks = clip.reshape(LENGTH, SIDE, scale, SIDE, scale, 3)  # area average
        clip = np.rint(blocks.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
    return clip


class Clips:
    """Prepared clips as a training set, with reference flows estimated on the fly."""

    def __init__(self, folder: Path, estimator: FlowEstimator | None, trust: float, crop: int) -> None:
        """``trust`` is what the estimator's flows count for, see :class:`Sample`; ``crop`` is the side asked for.

        Raises:
            TrainingError: the folder holds no prepared clips, or smaller ones.
        """
        try:
            index = json.loads((folder / INDEX).read_text())
        except FileNotFoundError as error:
            raise TrainingError(
                f"{folder} holds no {INDEX}: run `python -m ifrnet.training prepare` to cut clips first"
            ) from error
        self.clips = index["clips"]
        self.shape = (len(self.clips), index["length"], index["side"], index["side"], 3)
        if index["side"] < crop:
            raise TrainingError(f"clips in {folder} are {index['side']} px wide; crops of {crop} px do not fit")
        expected, found = int(np.prod(self.shape)), (folder / ARRAY).stat().st_size
        if expected != found:
            raise TrainingError(f"{folder / ARRAY} has {found} bytes, its index says {expected}: prepare it again")
        self._folder = folder
        self._array = self._open()
        self._estimator = estimator
        self._trust = trust

    def _open(self) -> NDArray[np.uint8]:
        return np.memmap(self._folder / ARRAY, dtype=np.uint8, mode="r", shape=self.shape)

    def __getstate__(self) -> dict[str, Any]:
        # A pickled memory map is a copy of all its bytes: worker processes map the file themselves.
        return {**vars(self), "_array": None}

    def __setstate__(self, content: dict[str, Any]) -> None:
        vars(self).update(content)
        self._array = self._open()

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        """See :class:`ifrnet.training.samples.TrainingSet`; clips are drawn at random, not in order."""
        clip = int(rng.integers(len(self.clips)))
        triplets: Sequence[Sequence[int]] = self.clips[clip]["triplets"]
        spacing = SPACINGS[int(rng.integers(len(SPACINGS)))]
        choice = [t for t in triplets if t[2] - t[0] == spacing] or [t for t in triplets if t[2] - t[0] == 2]
        first, middle, last = choice[int(rng.integers(len(choice)))]
        img0, truth, img1 = (np.asarray(self._array[clip, i]) for i in (first, middle, last))
        return with_flows(img0, truth, img1, (middle - first) / (last - first), self._estimator, self._trust)


def with_flows(
    img0: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    img1: NDArray[np.uint8],
    t: float,
    estimator: FlowEstimator | None,
    trust: float,
) -> Sample:
    """A sample of real frames (H, W, 3) with estimated flows, or with none and a trust of zero."""
    if estimator is None:
        return without_flow(img0, truth, img1, t)
    flow0, flow1 = estimator.estimate(truth, img0), estimator.estimate(truth, img1)
    return Sample(img0=img0, img1=img1, truth=truth, t=t, flow0=flow0, flow1=flow1, trust=trust)


def write_pictures(frames: Iterable[NDArray[np.uint8]], folder: Path) -> int:
    """Store pictures (H, W, 3) for :class:`Pictures`, one array file each. Returns their number."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for frame in frames:
        count += 1
        with replacing(folder / f"{count:05d}.npy") as partial:
            np.save(partial, frame)
    return count


class Pictures(Sequence[NDArray[np.uint8]]):
    """Pictures of :func:`write_pictures`, memory-mapped when asked for; pickles as a list of paths."""

    def __init__(self, folder: Path) -> None:
        """Raises TrainingError where the folder holds none."""
        self._paths = sorted(folder.glob("[0-9]*.npy"))
        if not self._paths:
            raise TrainingError(f"{folder} holds no pictures (*.npy): run `python -m ifrnet.training prepare` first")

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any) -> Any:
        """(H, W, 3) uint8."""
        return np.load(self._paths[index], mmap_mode="r")
