"""Scenes rendered by PyTorch: the frames and flows of the loader's own rendering, in batches of any mixture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ifrnet.training import loop
from ifrnet.training.options import Schedule
from ifrnet.training.rendering import pack
from ifrnet.training.samples import Augmentation, collate
from ifrnet.training.stream import Mixture, Source, StepSampler, batches
from ifrnet.training.synthetic import Scene, SyntheticMotion, SyntheticOptions, augmented
from tests.ifrnet.training.test_loop import ALONE, NO_AUGMENTATION, SMALL, WIDE, trained

CPU = torch.device("cpu")


def drawn(data: SyntheticMotion, count: int) -> list[Scene]:
    return [data.scene(None, np.random.default_rng(seed)) for seed in range(count)]


def test_the_device_renders_what_the_loader_renders(pictures: list[NDArray[np.uint8]]) -> None:
    data = SyntheticMotion(pictures, SyntheticOptions(side=64, slowest=4.0, fastest=40.0, noise=0.0))
    scenes = drawn(data, 24)
    assert {len(scene.layers) for scene in scenes} == {1, 2, 3, 4}
    assert {len(layer.motion.waves) for scene in scenes for layer in scene.layers} == {0, 1, 2, 3}
    mine = pack(scenes).to(CPU)
    theirs = collate([data.render(scene, np.random.default_rng(0)) for scene in scenes])
    for name in ("flow0", "flow1"):
        torch.testing.assert_close(getattr(mine, name), getattr(theirs, name), atol=2e-3, rtol=1e-5)
    assert torch.equal(mine.t, theirs.t)
    assert torch.equal(mine.trust, theirs.trust)
    for name in ("img0", "truth", "img1"):
        # OpenCV rounds coordinates to a 32nd of a pixel, and what it resampled to bytes.
        levels = 255.0 * (getattr(mine, name) - getattr(theirs, name)).abs()
        assert levels.mean() < 0.6, name
        assert levels.quantile(0.99) < 6.0, name
        assert torch.equal((255.0 * getattr(mine, name)).round() / 255.0, getattr(mine, name))


def test_noise_is_on_the_inputs_and_repeats(scenes: SyntheticMotion) -> None:
    clean = scenes.scene(0.5, np.random.default_rng(3))
    noisy = pack([replace(clean, noise=4.0, seed=9)])
    first, again, without = noisy.to(CPU), noisy.to(CPU), pack([clean]).to(CPU)
    assert torch.equal(first.img0, again.img0)
    assert torch.equal(first.truth, without.truth)
    for name in ("img0", "img1"):
        assert 255.0 * (getattr(first, name) - getattr(without, name)).std() == pytest.approx(4.0, rel=0.15)
    assert not torch.equal(first.img0 - without.img0, first.img1 - without.img1)


def test_pictures_are_turned_and_masks_are_not(pictures: list[NDArray[np.uint8]]) -> None:
    data = SyntheticMotion(pictures, SyntheticOptions(side=64))
    scene = next(scene for scene in drawn(data, 9) if len(scene.layers) > 1)
    turns: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        "channels": lambda picture: picture[:, :, ::-1],
        "vertical": lambda picture: picture[::-1],
        "transpose": lambda picture: picture.swapaxes(0, 1),
    }
    for name, turned in turns.items():
        changed = augmented(scene, replace(NO_AUGMENTATION, **{name: 1.0}), np.random.default_rng(0))
        for before, after in zip(scene.layers, changed.layers, strict=True):
            assert np.array_equal(after.picture, turned(before.picture))
            assert after.opacity is before.opacity
            assert after.motion is before.motion


class One:
    """Always the same sample."""

    def __init__(self, data: SyntheticMotion) -> None:
        self.sample = data.at(0.5, np.random.default_rng(0))

    def draw(self, index: int, rng: np.random.Generator) -> object:
        return self.sample


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_of_samples_and_scenes(scenes: SyntheticMotion, workers: int) -> None:
    sources = [
        Source(name="scenes", data=scenes, share=0.5),
        Source(name="one", data=One(scenes), share=0.5),  # type: ignore[arg-type]
    ]
    mixture = Mixture(sources, 64, Augmentation(), 0, deferred=True)
    sampler = StepSampler(first_step=0, last_step=2, batch=4, rank=0, world=1)
    for pending in batches(mixture, sampler, workers):
        batch = pending.to(CPU)
        assert all(len(field) == 4 for field in batch)
        assert batch.img0.is_contiguous(memory_format=torch.channels_last)
        assert len(batch.t.unique()) > 1
        assert (batch.truth != batch.img0).flatten(1).any(dim=1).all()


def test_a_run_that_renders_on_its_device_resumes_exactly(tmp_path: Path, scenes: SyntheticMotion) -> None:
    weights = replace(SMALL.weights, coarse=0.01)
    constant = replace(SMALL, schedule=Schedule.CONSTANT, weights=weights, wide=WIDE)
    options = replace(constant, render_on_device=True)
    whole = trained(tmp_path / "whole", scenes, options)
    trained(tmp_path / "halves", scenes, replace(options, steps=2))
    halves = trained(tmp_path / "halves", scenes, options)
    start = loop.new_run(options, ALONE.device).model.state_dict()
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, halves.model.state_dict()[key]), key
    assert any(not torch.equal(value, start[key]) for key, value in whole.model.state_dict().items())
