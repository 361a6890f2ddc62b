"""Scenes rendered by PyTorch: the frames and flows of the loader's own rendering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ifrnet.training.rendering import Scenes
from ifrnet.training.samples import collate
from ifrnet.training.synthetic import Scene, SyntheticMotion, SyntheticOptions


def drawn(data: SyntheticMotion, count: int) -> list[Scene]:
    return [data.scene(None, np.random.default_rng(seed)) for seed in range(count)]


def packed(scenes: Sequence[Scene], seed: int = 0) -> Scenes:
    """The loader's scenes as tensors."""
    layers = max(len(scene.layers) for scene in scenes)
    waves = max(len(layer.motion.waves) for scene in scenes for layer in scene.layers)
    side = scenes[0].layers[0].picture.shape[0]
    pictures = np.zeros((len(scenes), layers, 3, side, side), dtype=np.uint8)
    opacities = np.zeros((len(scenes), layers, 1, side, side), dtype=np.uint8)
    motions = np.zeros((len(scenes), layers, 6 + 5 * waves), dtype=np.float32)
    for n, scene in enumerate(scenes):
        for k, layer in enumerate(scene.layers):
            motion = layer.motion
            pictures[n, k] = layer.picture.transpose(2, 0, 1)
            opacities[n, k] = 255 if layer.opacity is None else np.rint(255.0 * layer.opacity)
            motions[n, k, :6] = (*motion.velocity, motion.rotation, motion.zoom, *motion.centre)
            motions[n, k, 6 : 6 + motion.waves.size] = motion.waves.ravel()
    t, noise = (
        torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)
        for values in ([scene.t for scene in scenes], [scene.noise for scene in scenes])
    )
    stacks = [torch.from_numpy(array) for array in (pictures, opacities, motions)]
    return Scenes(stacks[0], stacks[1], stacks[2], t, noise, seed)


def test_the_device_renders_what_the_loader_renders(pictures: list[NDArray[np.uint8]]) -> None:
    data = SyntheticMotion(pictures, SyntheticOptions(side=64, slowest=4.0, fastest=40.0, noise=0.0))
    scenes = drawn(data, 24)
    assert {len(scene.layers) for scene in scenes} == {1, 2, 3, 4}
    assert {len(layer.motion.waves) for scene in scenes for layer in scene.layers} == {0, 1, 2, 3}
    mine = packed(scenes).render()
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
    noisy = packed([replace(clean, noise=4.0)], seed=9)
    first, again, without = noisy.render(), noisy.render(), packed([clean]).render()
    assert torch.equal(first.img0, again.img0)
    assert torch.equal(first.truth, without.truth)
    for name in ("img0", "img1"):
        assert 255.0 * (getattr(first, name) - getattr(without, name)).std() == pytest.approx(4.0, rel=0.15)
    assert not torch.equal(first.img0 - without.img0, first.img1 - without.img1)
