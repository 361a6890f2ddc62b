"""Which frames to calibrate on: spread over motion and scenes, no duplicates, no cuts, the same ones for a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.footage import Footage
from export.int8.errors import CalibrationError
from ifrnet.footage.triplets import SMALL, Triplet, differences, find_cuts, is_fair, small_gray
from ifrnet.footage.video import Frame

SPACINGS = (1, 2)
MOTION_BINS = (4.0, 10.0, 24.0)
"""Upper ends in pixels of the frame; everything above the last is one more bin."""

CANDIDATES = 1500
"""Optical flow is computed for at most this many."""

MAX_SIZE = (720, 1280)
"""Larger frames are cropped to their centre: scales do not depend on the frame's size, time and memory do."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A fair triplet, the scene it is in, and its motion from first to last frame in pixels."""

    triplet: Triplet
    scene: int
    motion: float

    @property
    def bin(self) -> int:
        """Index of its motion bin."""
        return int(np.searchsorted(MOTION_BINS, self.motion))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Three frames (H, W, 3) uint8 RGB: two go in, the middle one is the truth."""

    triplet: Triplet
    frame0: Frame
    truth: Frame
    frame1: Frame


@dataclass(frozen=True, kw_only=True)
class SampleSet:
    """What was picked.

    Attributes:
        samples: in the order of the footage.
        bins: how many there are in each motion bin.
        sha256: over all frames of all samples.
    """

    samples: tuple[Sample, ...]
    bins: tuple[int, ...]
    sha256: str


def pick(source: Footage, count: int, seed: int = 0) -> SampleSet:
    """``count`` samples, or as many as there are.

    Raises:
        CalibrationError: footage that cannot be read, is too short, or does not move.
    """
    chosen = stratify(candidates(source, seed), count, seed)
    wanted = {i for c in chosen for i in (c.triplet.first, c.triplet.middle, c.triplet.last)}
    kept = {i: _centre(frame) for i, frame in enumerate(source.frames()) if i in wanted}
    samples = tuple(
        Sample(triplet=t, frame0=kept[t.first], truth=kept[t.middle], frame1=kept[t.last])
        for t in sorted(c.triplet for c in chosen)
    )
    digest = hashlib.sha256()
    for sample in samples:
        for frame in (sample.frame0, sample.truth, sample.frame1):
            digest.update(frame.tobytes())
    bins = [c.bin for c in chosen]
    return SampleSet(
        samples=samples, bins=tuple(bins.count(i) for i in range(len(MOTION_BINS) + 1)), sha256=digest.hexdigest()
    )


def candidates(source: Footage, seed: int = 0) -> list[Candidate]:
    """Every fair triplet with its scene and motion.

    Raises:
        CalibrationError: fewer than three frames, or nothing moves.
    """
    smalls, width = [], 0
    for frame in source.frames():
        smalls.append(small_gray(frame))
        width = frame.shape[1]
    if len(smalls) < 3:
        raise CalibrationError(f"{source.path} has {len(smalls)} frame(s); calibration needs at least 3, better 100")
    steps = differences(smalls)
    cuts = find_cuts(steps)
    scenes = np.concatenate(([0], np.cumsum(cuts)))
    triplets = [
        triplet
        for k in SPACINGS
        for i in range(len(smalls) - 2 * k)
        if is_fair(steps, cuts, triplet := Triplet(first=i, middle=i + k, last=i + 2 * k))
    ]
    if not triplets:
        raise CalibrationError(
            f"{source.path}: none of its {len(smalls)} frames moves steadily (stills, cuts and repeated frames are "
            "skipped); calibration needs footage with motion"
        )
    if len(triplets) > CANDIDATES:
        order = np.random.default_rng(seed).permutation(len(triplets))[:CANDIDATES]
        triplets = [triplets[i] for i in sorted(order)]
    return [
        Candidate(
            triplet=triplet,
            scene=int(scenes[triplet.first]),
            motion=motion(smalls[triplet.first], smalls[triplet.last]) * width / SMALL[0],
        )
        for triplet in triplets
    ]


def motion(small0: NDArray[np.float32], small1: NDArray[np.float32]) -> float:
    """90th percentile of the length of DIS optical flow between two gray frames in [0, 1], in their pixels."""
    import cv2

    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    gray0, gray1 = ((255.0 * small).astype(np.uint8) for small in (small0, small1))
    flow = dis.calc(gray0, gray1, np.zeros((*gray0.shape, 2), np.float32))  # (90, 160, 2)
    return float(np.percentile(np.linalg.norm(flow, axis=2), 90))


def stratify(found: Sequence[Candidate], count: int, seed: int = 0) -> list[Candidate]:
    """``count`` of them, taken from the motion bins in turn, and within a bin from its scenes in turn."""
    rng = np.random.default_rng(seed)
    shuffled = [found[i] for i in rng.permutation(len(found))]
    queues = [_by_scene([c for c in shuffled if c.bin == i]) for i in range(len(MOTION_BINS) + 1)]
    chosen: list[Candidate] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return chosen


def _by_scene(items: Sequence[Candidate]) -> list[Candidate]:
    """Reordered so that every scene comes once before any comes again."""
    seen: dict[int, int] = {}
    ranked = []
    for item in items:
        rank = seen[item.scene] = seen.get(item.scene, -1) + 1
        ranked.append((rank, item))
    return [item for _, item in sorted(ranked, key=lambda pair: pair[0])]


def _centre(frame: Frame) -> Frame:
    """At most 1280x720, from the middle."""
    height, width = (min(side, limit) for side, limit in zip(frame.shape[:2], MAX_SIZE, strict=True))
    top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return np.ascontiguousarray(frame[top : top + height, left : left + width])
