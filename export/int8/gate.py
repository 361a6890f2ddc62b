"""The quality gate: what INT8 loses on held-aside frames with a known truth, measured on the artifact itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.int8.clip import held_aside
from export.int8.windows import windows
from ifrnet import IFRNet, interpolate
from ifrnet.footage.video import Frame
from runtimes.base import Runtime
from runtimes.compare import psnr
from runtimes.contract import Size, SizeRange
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


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One triplet: the pairs of its n windows, and the windows below each other, (1, 3, n * H, W)."""

    pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]
    truth: NDArray[np.float32]
    fp32: NDArray[np.float32]


class QualityGate:
    """Held-aside frames and what fp32 makes of them, computed once for all artifacts of a run.

    Small artifacts are judged on windows from all over a frame, whose PSNR is that of all of them together. What one
    window loses is chance: simulated at 160x96, the mean over six triplets is 0.016 dB for whole frames cut into 56
    windows, and has a standard deviation of 0.066 for one window of each, 0.022 for 8, 0.011 for 24 (at 128x96 0.035,
    and 0.077, 0.030, 0.019). Of one artifact of OpenVINO the six middles gave 0.105 dB.

    Args:
        model: the reference.
        scale: see :func:`ifrnet.interpolate`.
        max_drop: in dB.
    """

    def __init__(self, model: IFRNet, scale: float, max_drop: float) -> None:
        self._model, self._scale, self._max_drop = model, scale, max_drop
        self._cases: dict[SizeRange, list[_Case]] = {}

    def judge(self, runtime: Runtime) -> Quality:
        """Run a loaded artifact: on windows of its size, or on whole frames where it takes them."""
        t = np.full((1, 1, 1, 1), 0.5, np.float32)
        losses = []
        for case in self._for(runtime.spec.sizes):
            out = np.concatenate([runtime.infer(*pair, t) for pair in case.pairs], axis=2)  # (1, 3, n * H, W)
            fp32, int8 = psnr(case.fp32, case.truth), psnr(out, case.truth)
            losses.append(Loss(fp32=fp32, int8=int8, int8_vs_fp32=psnr(out, case.fp32)))
        return summarise(losses, self._max_drop)

    def _for(self, sizes: SizeRange) -> list[_Case]:
        if sizes not in self._cases:
            self._cases[sizes] = [self._case(*triplet, _judged(triplet[0], sizes)) for triplet in held_aside()]
        return self._cases[sizes]

    @torch.inference_mode()
    def _case(self, first: Frame, middle: Frame, last: Frame, size: Size) -> _Case:
        frames0, truths, frames1 = ([to_tensor(part) for part in windows(f, size)] for f in (first, middle, last))
        half = torch.full((1, 1, 1, 1), 0.5)
        fp32 = [
            interpolate(self._model, torch.from_numpy(frame0), torch.from_numpy(frame1), half, self._scale).numpy()
            for frame0, frame1 in zip(frames0, frames1, strict=True)
        ]
        return _Case(
            pairs=tuple(zip(frames0, frames1, strict=True)),
            truth=np.concatenate(truths, axis=2),  # (1, 3, n * H, W)
            fp32=np.concatenate(fp32, axis=2),
        )


def _judged(frame: Frame, sizes: SizeRange) -> Size:
    """The size of a frame, (H, W, 3), where an artifact takes that, else the artifact's own."""
    whole = Size(frame.shape[1], frame.shape[0])
    return whole if sizes.holds(whole) else sizes.typical
