"""Prepared clips as a training set, drawn by motion; pictures for synthetic motion."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifrnet.footage.triplets import Triplet
from ifrnet.training.cutting import ARRAY, INDEX, SPACINGS
from ifrnet.training.errors import TrainingError
from ifrnet.training.flow import FlowEstimator
from ifrnet.training.samples import Sample, without_flow
from runtimes.atomic import replacing
from runtimes.json_text import parse_json

BANDS = ((10.0, 0.25), (20.0, 0.25), (45.0, 0.3), (120.0, 0.2))
"""Motion in pixels up to which a band reaches, and the share of draws that it gets.

The motion of a pair is that between the two middle frames of its clip, times the frames from its first to its last.

Of the pairs of the openly licensed footage more than half move by less than 20 px. Beyond the last band, half of a
crop has no match in it.
"""


def read_index(folder: Path) -> dict[str, Any]:
    """What ``prepare`` wrote of its clips, checked.

    Raises:
        TrainingError: there is none, it is damaged, or that of an older version.
    """
    path = folder / INDEX
    try:
        index = parse_json(path.read_bytes(), finite=True)
        length, side, clips = index["length"], index["side"], index["clips"]
        fits = bool(clips) and all(type(number) is int and number > 0 for number in (length, side))
        fits = fits and all(_is_whole(clip, length) for clip in clips)
    except FileNotFoundError as error:
        raise TrainingError(
            f"{folder} holds no {INDEX}: run `python -m ifrnet.training prepare` to cut clips first"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is damaged ({type(error).__name__}: {error}): prepare it again") from error
    if not fits:
        raise TrainingError(f"{path} is damaged (a clip that cannot be): prepare it again")
    if not all("speed" in clip for clip in clips):
        raise TrainingError(f"{path} says nothing of how fast its clips move: prepare it again")
    return dict(index)


def _is_whole(clip: dict[str, Any], length: int) -> bool:
    """Whether a clip has a source, triplets in its frames and, where it is told, a speed."""
    frames = all(type(frame) is int for triplet in clip["triplets"] for frame in triplet)
    inside = all(0 <= first < middle < last < length for first, middle, last in clip["triplets"])
    return frames and inside and isinstance(clip["source"], str) and clip.get("speed", 0.0) >= 0.0


class Place(NamedTuple):
    """A triplet of frames of a clip."""

    clip: int
    triplet: Triplet


class Clips:
    """Prepared clips as a training set, with reference flows estimated on the fly or with none."""

    def __init__(self, folder: Path, estimator: FlowEstimator | None, trust: float, crop: int) -> None:
        """``trust`` is what the estimator's flows count for, see :class:`Sample`; ``crop`` is the side asked for.

        Raises:
            TrainingError: the folder holds no prepared clips, or smaller ones, or those of an older version.
        """
        index = read_index(folder)
        self.clips = index["clips"]
        self.shape = (len(self.clips), index["length"], index["side"], index["side"], 3)
        if index["side"] < crop:
            raise TrainingError(f"clips in {folder} are {index['side']} px wide; crops of {crop} px do not fit")
        expected, found = math.prod(self.shape), (folder / ARRAY).stat().st_size
        if expected != found:
            raise TrainingError(f"{folder / ARRAY} has {found} bytes, its index says {expected}: prepare it again")
        self._bands = [
            (share, pairs) for (_, share), pairs in zip(BANDS, _bands(self.clips), strict=True) if len(pairs)
        ]
        self._band_edges = _edges(np.array([share for share, _ in self._bands]))
        self._pair_edges = [_edges(self._weights(pairs)) for _, pairs in self._bands]
        self._folder = folder
        self._array = self._open()
        self._estimator = estimator
        self._trust = trust

    def _weights(self, pairs: NDArray[np.int32]) -> NDArray[np.float64]:
        """Of each pair: sources are drawn by the square root of their pairs, so that a long film drowns nobody."""
        sources = [self.clips[clip]["source"] for clip, _ in pairs]
        counts = Counter(sources)
        return np.array([counts[source] ** -0.5 for source in sources])

    def _open(self) -> NDArray[np.uint8]:
        return np.memmap(self._folder / ARRAY, dtype=np.uint8, mode="r", shape=self.shape)

    def __getstate__(self) -> dict[str, Any]:
        # A pickled memory map is a copy of all its bytes: worker processes map the file themselves.
        return {**vars(self), "_array": None}

    def __setstate__(self, content: dict[str, Any]) -> None:
        vars(self).update(content)
        self._array = self._open()

    @property
    def array(self) -> NDArray[np.uint8]:
        """All clips, (clips, length, side, side, 3), mapped from the file."""
        return self._array

    @property
    def estimated(self) -> bool:
        """Whether samples come with estimated flows."""
        return self._estimator is not None

    def place(self, rng: np.random.Generator) -> Place:
        """A random triplet: a band of motion by share, then a pair in it."""
        band = _pick(self._band_edges, rng)
        clip, spacing = map(int, self._bands[band][1][_pick(self._pair_edges[band], rng)])
        triplets: Sequence[Sequence[int]] = [t for t in self.clips[clip]["triplets"] if t[2] - t[0] == spacing]
        first, middle, last = triplets[int(rng.integers(len(triplets)))]
        return Place(clip, Triplet(first=first, middle=middle, last=last))

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        """See :class:`ifrnet.training.samples.TrainingSet`."""
        clip, triplet = self.place(rng)
        frames = (triplet.first, triplet.middle, triplet.last)
        img0, truth, img1 = (np.asarray(self._array[clip, frame]) for frame in frames)
        return with_flows(img0, truth, img1, triplet.t, self._estimator, self._trust)


def _bands(clips: Sequence[dict[str, Any]]) -> list[NDArray[np.int32]]:
    """Of each band of :data:`BANDS`, the rows (clip, spacing) whose motion lies in it."""
    limits = [limit for limit, _ in BANDS]
    found: list[list[tuple[int, int]]] = [[] for _ in range(len(limits) + 1)]
    for number, clip in enumerate(clips):
        there = {triplet[2] - triplet[0] for triplet in clip["triplets"]}
        for spacing in SPACINGS:
            if spacing in there:
                found[int(np.searchsorted(limits, clip["speed"] * spacing))].append((number, spacing))
    if not any(found[:-1]):  # faster than all bands: better than nothing
        found[-2] = found[-1]
    return [np.array(pairs, dtype=np.int32).reshape(-1, 2) for pairs in found[:-1]]


def _edges(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where each element ends on the way from 0 to 1."""
    return np.cumsum(weights / weights.sum())


def _pick(edges: NDArray[np.float64], rng: np.random.Generator) -> int:
    """An element by its weight, see :func:`_edges`."""
    return min(int(np.searchsorted(edges, rng.random(), side="right")), len(edges) - 1)


def with_flows(
    img0: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    img1: NDArray[np.uint8],
    t: float,
    estimator: FlowEstimator | None,
    trust: float,
) -> Sample:
    """A sample of real frames (H, W, 3) with estimated flows, or with none and a trust of zero."""
    flows = None if estimator is None else estimator.flows(img0, truth, img1, t)
    if flows is None:
        return without_flow(img0, truth, img1, t)
    flow0, flow1 = flows
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
        """(H, W, 3) uint8.

        Raises:
            TrainingError: the file is gone, damaged or something else.
        """
        path = self._paths[index]
        try:
            picture = np.lib.format.open_memmap(path, mode="r")
        except Exception as error:  # NumPy raises whatever the damaged part of the header leads to
            raise TrainingError(f"{path} cannot be read as a picture ({error}): prepare it again") from error
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise TrainingError(
                f"{path} holds {picture.dtype} of shape {picture.shape}; expected a picture, uint8 (H, W, 3)"
            )
        return picture
