"""The quick evaluation: mean PSNR by name, the same scenes at three times, the model left as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
import pytest
import torch

from ifrnet import load_model
from ifrnet.footage import triplets
from ifrnet.footage.catalogue import MEDIA
from ifrnet.training import evaluate
from ifrnet.training.synthetic import SyntheticMotion


def test_psnr_is_that_of_the_mean_squared_error() -> None:
    truth = torch.zeros(1, 3, 4, 4)
    assert evaluate.psnr(truth + 0.1, truth) == pytest.approx(20.0, abs=1e-4)


def test_scenes_are_measured_at_three_times(monkeypatch: pytest.MonkeyPatch, scenes: SyntheticMotion) -> None:
    monkeypatch.setattr(evaluate, "evaluation_clips", tuple)
    quick = evaluate.quick_evaluation(scenes, count=2)
    assert list(quick.batches) == ["synthetic-0.25", "synthetic-0.5", "synthetic-0.75"]
    assert [float(b[0].t) for b in quick.batches.values()] == [0.25, 0.5, 0.75]
    model = load_model("ifrnet_s").train()
    figures = quick(model)
    assert model.training
    batch = quick.batches["synthetic-0.5"]
    with torch.inference_mode():
        expected = np.mean([evaluate.psnr(model(b.img0, b.img1, b.t), b.truth) for b in batch])
    assert figures["synthetic-0.5"] == pytest.approx(float(expected), abs=1e-3)


def test_batches_follow_the_model_to_its_device(monkeypatch: pytest.MonkeyPatch, scenes: SyntheticMotion) -> None:
    """On a GPU they would meet its weights from the CPU; "meta" stands in for it, and computes nothing."""
    monkeypatch.setattr(evaluate, "evaluation_clips", tuple)
    seen: set[str] = set()

    def psnr(made: torch.Tensor, truth: torch.Tensor) -> float:
        seen.update((made.device.type, truth.device.type))
        return 1.0

    monkeypatch.setattr(evaluate, "psnr", psnr)
    evaluate.quick_evaluation(scenes, count=1)(load_model("ifrnet_s").to("meta"))
    assert seen == {"meta"}


def test_clips_are_cropped_to_what_the_network_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cup.mp4"
    texture = np.random.default_rng(0).integers(0, 256, (10, 60, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 360, 100, "yuv420p"
        for i in range(10):
            frame = np.ascontiguousarray(texture[:, 5 * i : 5 * i + 360])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    row = replace(MEDIA["cup"], evaluation=None)
    monkeypatch.setattr(triplets, "MEDIA", MappingProxyType({"cup": row}))
    monkeypatch.setattr(evaluate, "evaluation_clips", lambda: (row,))
    monkeypatch.setattr(evaluate, "fetch", lambda name: path)
    quick = evaluate.quick_evaluation(None)
    assert list(quick.batches) == ["cup"]
    assert {batch.truth.shape for batch in quick.batches["cup"]} == {(1, 3, 96, 352)}
