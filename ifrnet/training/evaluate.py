"""Figures of a network on the evaluation footage while it trains: few triplets, centre crops, PSNR only.

The table that counts is that of ``python -m benchmarks accuracy --dataset footage``, on full frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ifrnet.footage.catalogue import evaluation_clips
from ifrnet.footage.download import fetch
from ifrnet.footage.triplets import evaluation_triplets, frames_of
from ifrnet.model import IFRNet
from ifrnet.training.samples import Batch, Sample, collate, without_flow
from ifrnet.training.synthetic import SyntheticMotion

CENTRE = (384, 512)
"""Height and width of the crops."""

PER_CLIP = 5
"""Triplets of each clip."""

TIMES = (0.25, 0.5, 0.75)
"""Where synthetic scenes are asked for."""


@dataclass(frozen=True, kw_only=True)
class Quick:
    """Evaluation batches by name; each sample is a batch of its own."""

    batches: dict[str, list[Batch]]

    def __call__(self, model: IFRNet) -> dict[str, float]:
        """Mean PSNR in dB by name."""
        was_training = model.training
        model.eval()
        with torch.inference_mode():
            figures = {name: float(np.mean([_psnr(model, b) for b in bs])) for name, bs in self.batches.items()}
        model.train(was_training)
        return figures


def psnr(prediction: Tensor, truth: Tensor) -> float:
    """-10 log10 of the mean squared error of frames in [0, 1], in dB."""
    return float(-10.0 * torch.log10(((prediction - truth) ** 2).mean()))


def quick_evaluation(scenes: SyntheticMotion | None, count: int = 8) -> Quick:
    """Centre crops of every evaluation clip, and ``count`` synthetic scenes at each of :data:`TIMES`."""
    found = {media.name: _clip(media.name) for media in evaluation_clips()}
    if scenes is not None:
        for t in TIMES:
            # The same generator for each t: the same scenes, seen at another time.
            found[f"synthetic-{t}"] = [scenes.at(t, np.random.default_rng((2026, i))) for i in range(count)]
    return Quick(batches={name: [collate([sample]) for sample in samples] for name, samples in found.items()})


def _clip(name: str) -> list[Sample]:
    """A few evaluation triplets of a clip, centre-cropped."""
    path = fetch(name)
    triplets = evaluation_triplets(name, path, PER_CLIP)
    frames = frames_of(name, path, triplets)
    return [_sample(*(frames[i] for i in (t.first, t.middle, t.last))) for t in triplets]


def _sample(img0: np.ndarray, truth: np.ndarray, img1: np.ndarray) -> Sample:
    height, width = (min(limit, side) // 16 * 16 for limit, side in zip(CENTRE, truth.shape[:2], strict=True))
    top, left = (truth.shape[0] - height) // 2, (truth.shape[1] - width) // 2
    window = np.s_[top : top + height, left : left + width]
    return without_flow(img0[window], truth[window], img1[window], 0.5)


def _psnr(model: IFRNet, batch: Batch) -> float:
    batch = batch.to(next(model.parameters()).device)
    return psnr(model(batch.img0, batch.img1, batch.t), batch.truth)
