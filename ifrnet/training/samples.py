"""What a dataset yields, how it is augmented, and how samples become a batch.

A dataset maps an index and a random generator to a sample. The generator is derived from (seed, index) alone, so a
run can stop anywhere and continue with exactly the samples it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ifrnet.training.errors import TrainingError


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One training pair with its truth.

    Attributes:
        img0, img1, truth: (H, W, 3) uint8 RGB.
        t: time of ``truth`` between the two, in (0, 1).
        flow0, flow1: (H, W, 2) float32, from the true frame to frame 0 and to frame 1, in pixels, x before y.
        trust: 1 where the flow is exact, less where it is estimated, 0 where there is none (the flow is zeros then).
    """

    img0: NDArray[np.uint8]
    img1: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    t: float
    flow0: NDArray[np.float32]
    flow1: NDArray[np.float32]
    trust: float


class TrainingSet(Protocol):
    """Anything that can be trained on."""

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        """The sample for a running index; ``index`` may be any non-negative number."""
        ...


def without_flow(img0: NDArray[np.uint8], truth: NDArray[np.uint8], img1: NDArray[np.uint8], t: float) -> Sample:
    """A sample whose flows are unknown: zeros that nothing is to trust."""
    none = np.zeros((*truth.shape[:2], 2), dtype=np.float32)
    return Sample(img0=img0, img1=img1, truth=truth, t=t, flow0=none, flow1=none, trust=0.0)


def read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of an image file.

    Raises:
        TrainingError: missing or damaged.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise TrainingError(f"{path} cannot be read as an image: {error}") from error


def enlarge(sample: Sample) -> Sample:
    """Twice the size, bilinear; flows double with it."""
    import cv2

    size = (2 * sample.truth.shape[1], 2 * sample.truth.shape[0])

    def up(array: Any) -> Any:
        return cv2.resize(array, size, interpolation=cv2.INTER_LINEAR)

    return replace(
        sample,
        img0=up(sample.img0),
        img1=up(sample.img1),
        truth=up(sample.truth),
        flow0=2.0 * up(sample.flow0),
        flow1=2.0 * up(sample.flow1),
    )


class Batch(NamedTuple):
    """Tensors of one step: frames (N, 3, H, W) float32 in [0, 1], t and trust (N, 1, 1, 1), flows (N, 2, H, W)."""

    img0: Tensor
    img1: Tensor
    truth: Tensor
    t: Tensor
    flow0: Tensor
    flow1: Tensor
    trust: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``, frames in channels_last."""
        return Batch(*(x.to(device, memory_format=torch.channels_last) for x in self))


def collate(samples: list[Sample]) -> Batch:
    """Stack samples of one size."""

    def frames(arrays: list[NDArray[np.uint8]]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255.0  # (N, 3, H, W)

    def flows(arrays: list[NDArray[np.float32]]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()  # (N, 2, H, W)

    def scalars(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)

    return Batch(
        img0=frames([s.img0 for s in samples]),
        img1=frames([s.img1 for s in samples]),
        truth=frames([s.truth for s in samples]),
        t=scalars([s.t for s in samples]),
        flow0=flows([s.flow0 for s in samples]),
        flow1=flows([s.flow1 for s in samples]),
        trust=scalars([s.trust for s in samples]),
    )


class Turns(NamedTuple):
    """What is done to one sample, see :class:`Augmentation`."""

    channels: bool
    vertical: bool
    horizontal: bool
    transpose: bool
    time: bool


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Probabilities of the published augmentation (crop aside)."""

    channels: float = 0.5
    vertical: float = 0.3
    horizontal: float = 0.5
    transpose: float = 0.05
    time: float = 0.5

    def draw(self, rng: np.random.Generator) -> Turns:
        """Decide for one sample."""
        shares = (self.channels, self.vertical, self.horizontal, self.transpose, self.time)
        return Turns(*(bool(rng.random() < share) for share in shares))

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Reverse channels, flip, swap height and width, reverse time; flows follow the frames."""
        turns = self.draw(rng)
        if turns.channels:
            sample = _frames(sample, np.s_[:, :, ::-1])
        if turns.vertical:
            sample = _flows(_frames(sample, np.s_[::-1]), np.s_[::-1], (1.0, -1.0))
        if turns.horizontal:
            sample = _flows(_frames(sample, np.s_[:, ::-1]), np.s_[:, ::-1], (-1.0, 1.0))
        if turns.transpose:
            sample = _transposed(sample)
        if turns.time:
            sample = replace(
                sample, img0=sample.img1, img1=sample.img0, flow0=sample.flow1, flow1=sample.flow0, t=1.0 - sample.t
            )
        return sample


def crop(sample: Sample, side: int, rng: np.random.Generator) -> Sample:
    """A random square of every array; samples of that size pass unchanged."""
    height, width = sample.truth.shape[:2]
    if min(height, width) < side:
        raise TrainingError(f"a sample is {width}x{height}; crops of {side} px do not fit: give a smaller --crop")
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    window = np.s_[top : top + side, left : left + side]
    return _flows(_frames(sample, window), window, (1.0, 1.0))


def _frames(sample: Sample, index: Any) -> Sample:
    return replace(sample, img0=sample.img0[index], img1=sample.img1[index], truth=sample.truth[index])


def _flows(sample: Sample, index: Any, sign: tuple[float, float]) -> Sample:
    factor = np.array(sign, dtype=np.float32)
    return replace(sample, flow0=sample.flow0[index] * factor, flow1=sample.flow1[index] * factor)


def _transposed(sample: Sample) -> Sample:
    turned = replace(
        sample,
        img0=sample.img0.swapaxes(0, 1),
        img1=sample.img1.swapaxes(0, 1),
        truth=sample.truth.swapaxes(0, 1),
    )
    return replace(turned, flow0=sample.flow0.swapaxes(0, 1)[:, :, ::-1], flow1=sample.flow1.swapaxes(0, 1)[:, :, ::-1])
