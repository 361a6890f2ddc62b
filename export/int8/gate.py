"""The quality gate: what INT8 loses on held-aside frames with a known truth, measured on the artifact itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.int8.clip import held_aside
from ifrnet import IFRNet, interpolate
from ifrnet.footage.video import Frame
from runtimes.base import Runtime
from runtimes.compare import psnr
from runtimes.contract import Size
from runtimes.frames import to_tensor

HIGH = 35.0
"""Above this many dB of fp32 there is something to lose; reported apart."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One triplet, in dB: fp32 against the truth, INT8 against the truth, INT8 against fp32."""

    fp32: float
    int8: float
    int8_vs_fp32: float

    @property
    def drop(self) -> float:
        """What INT8 loses."""
        return self.fp32 - self.int8


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What the gate found, in dB; ``drop_high`` is over triplets that fp32 interpolates above 35 dB, if any."""

    samples: int
    drop: float
    worst_drop: float
    drop_high: float | None
    samples_high: int
    int8_vs_fp32: float
    max_drop: float

    @property
    def passed(self) -> bool:
        """False for NaN too."""
        return self.drop <= self.max_drop

    def __str__(self) -> str:
        return (
            f"INT8 loses {self.drop:.3f} dB (limit {self.max_drop:g}) on {self.samples} held-aside triplets, at worst "
            f"{self.worst_drop:.3f} dB; {self.int8_vs_fp32:.1f} dB against fp32"
        )

    def to_manifest(self) -> dict[str, Any]:
        """JSON types, rounded to a thousandth of a dB."""
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}


def summarise(losses: Sequence[Loss], max_drop: float) -> Quality:
    """Means over triplets."""
    high = [loss.drop for loss in losses if loss.fp32 > HIGH]
    return Quality(
        samples=len(losses),
        drop=float(np.mean([loss.drop for loss in losses])),
        worst_drop=max(loss.drop for loss in losses),
        drop_high=float(np.mean(high)) if high else None,
        samples_high=len(high),
        int8_vs_fp32=float(np.mean([loss.int8_vs_fp32 for loss in losses])),
        max_drop=max_drop,
    )


class QualityGate:
    """Held-aside frames and what fp32 makes of them, computed once for all artifacts of a run.

    Args:
        model: the reference.
        scale: see :func:`ifrnet.interpolate`.
        max_drop: in dB.
    """

    def __init__(self, model: IFRNet, scale: float, max_drop: float) -> None:
        self._model, self._scale, self._max_drop = model, scale, max_drop
        self._cases: dict[Size, list[tuple[NDArray[np.float32], ...]]] = {}

    def judge(self, runtime: Runtime) -> Quality:
        """Run a loaded artifact at its typical size."""
        t = np.full((1, 1, 1, 1), 0.5, np.float32)
        losses = []
        for frame0, truth, frame1, fp32 in self._at(runtime.spec.sizes.typical):
            out = runtime.infer(frame0, frame1, t)
            losses.append(Loss(fp32=psnr(fp32, truth), int8=psnr(out, truth), int8_vs_fp32=psnr(out, fp32)))
        return summarise(losses, self._max_drop)

    def _at(self, size: Size) -> list[tuple[NDArray[np.float32], ...]]:
        if size not in self._cases:
            half = torch.full((1, 1, 1, 1), 0.5)
            self._cases[size] = []
            for triplet in held_aside():
                frame0, truth, frame1 = (to_tensor(resized_middle(frame, size)) for frame in triplet)
                img0, img1 = torch.from_numpy(frame0), torch.from_numpy(frame1)
                with torch.inference_mode():
                    fp32 = interpolate(self._model, img0, img1, half, self._scale)
                self._cases[size].append((frame0, truth, frame1, fp32.numpy()))
        return self._cases[size]


def resized_middle(frame: Frame, size: Size) -> Frame:
    """``size`` from the middle of a frame, which is enlarged first where it is smaller."""
    from PIL import Image

    height, width = frame.shape[:2]
    ratio = max(size.width / width, size.height / height)
    if ratio > 1.0:
        larger = (max(size.width, round(width * ratio)), max(size.height, round(height * ratio)))
        frame = np.asarray(Image.fromarray(frame).resize(larger, Image.Resampling.BICUBIC))
        height, width = frame.shape[:2]
    top, left = (height - size.height) // 2, (width - size.width) // 2
    return np.ascontiguousarray(frame[top : top + size.height, left : left + size.width])
