"""Synthetic motion: the flow is exact, scenes are the same at every t, samples repeat."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ifrnet.training.synthetic import PAD, REACH, REST, STILL, Layer, Motion, Scene, SyntheticMotion, SyntheticOptions

NO_WAVES = np.empty((0, 5), dtype=np.float32)


def sampled(frame: NDArray[np.uint8], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = frame.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(cv2.remap(frame.astype(np.float32), x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC))


@pytest.mark.parametrize("t", [0.25, 0.5, 0.8])
def test_flow_leads_from_the_true_frame_to_both_frames(pictures: list[NDArray[np.uint8]], t: float) -> None:
    waves = np.array([[0.05, 0.02, 1.0, 2.0, -1.5]], dtype=np.float32)
    motion = Motion(velocity=(9.0, -5.0), rotation=0.08, zoom=0.06, centre=(30.0, 40.0), waves=waves)
    data = SyntheticMotion(pictures, SyntheticOptions(side=64, noise=0.0))
    background = Layer(picture=pictures[0][:128, :128], opacity=None, motion=motion)
    sample = data.render(Scene(layers=[background], t=t), np.random.default_rng(0))
    inner = np.s_[16:-16, 16:-16]
    for frame, flow in ((sample.img0, sample.flow0), (sample.img1, sample.flow1)):
        error = np.abs(sampled(frame, flow)[inner] - sample.truth[inner])
        still = np.abs(frame[inner].astype(np.float32) - sample.truth[inner])
        assert error.mean() < 1.0
        assert error.mean() < 0.1 * still.mean()


def test_a_translation_has_the_flow_of_its_share_of_time(pictures: list[NDArray[np.uint8]]) -> None:
    motion = Motion(velocity=(8.0, 4.0), rotation=0.0, zoom=0.0, centre=(0.0, 0.0), waves=NO_WAVES)
    data = SyntheticMotion(pictures, SyntheticOptions(side=64, noise=0.0))
    layer = Layer(picture=pictures[0][:128, :128], opacity=None, motion=motion)
    sample = data.render(Scene(layers=[layer], t=0.25), np.random.default_rng(0))
    assert np.allclose(sample.flow0, (-2.0, -1.0), atol=1e-5)
    assert np.allclose(sample.flow1, (6.0, 3.0), atol=1e-5)


def test_the_topmost_layer_decides_the_flow(pictures: list[NDArray[np.uint8]]) -> None:
    still = Motion(velocity=(0.0, 0.0), rotation=0.0, zoom=0.0, centre=(0.0, 0.0), waves=NO_WAVES)
    moving = Motion(velocity=(10.0, 0.0), rotation=0.0, zoom=0.0, centre=(0.0, 0.0), waves=NO_WAVES)
    opacity = np.zeros((128, 128), dtype=np.float32)
    opacity[32 + 10 : 32 + 30, 32 + 10 : 32 + 30] = 1.0
    data = SyntheticMotion(pictures, SyntheticOptions(side=64, noise=0.0))
    layers = [
        Layer(picture=pictures[0][:128, :128], opacity=None, motion=still),
        Layer(picture=pictures[1][:128, :128], opacity=opacity, motion=moving),
    ]
    sample = data.render(Scene(layers=layers, t=0.5), np.random.default_rng(0))
    assert np.allclose(sample.flow1[10:30, 10:30], (5.0, 0.0))
    assert not sample.flow1[:10].any()
    assert np.array_equal(sample.img1[10:30, 15:35], sample.truth[10:30, 10:30])  # moved by five pixels
    assert np.array_equal(sample.img0[40:], sample.img1[40:])  # the background stands still


def test_the_inverse_of_a_motion_without_waves_is_exact() -> None:
    motion = Motion(velocity=(50.0, -9.0), rotation=0.3, zoom=0.2, centre=(30.0, 40.0), waves=NO_WAVES)
    x, y = np.meshgrid(*[np.arange(64, dtype=np.float32)] * 2)
    before = motion.affine_inverse(x, y, 0.7)
    moved = motion.displacement(*before, 0.7)
    assert np.allclose(before[0] + moved[..., 0], x, atol=1e-3)
    assert np.allclose(before[1] + moved[..., 1], y, atol=1e-3)


@pytest.mark.parametrize("t", [0.05, 0.5, 0.9])
def test_the_largest_motion_keeps_its_match_on_the_canvas(pictures: list[NDArray[np.uint8]], t: float) -> None:
    side = 64
    data = SyntheticMotion(pictures, SyntheticOptions(side=side, slowest=190.0, fastest=200.0, max_layers=3))
    seen = 0
    for seed in range(40):
        layers = data.scene(t, np.random.default_rng(seed)).layers
        for layer in layers:
            velocity = np.array(layer.motion.velocity)
            assert 0.1 * side < np.abs(velocity).sum() or layer.opacity is not None or layer.motion is REST
            assert np.abs(velocity).sum() <= REACH * side + 1e-6
        for layer in layers[1:]:
            assert layer.opacity is not None
            mass = layer.opacity / layer.opacity.sum()
            if layer.opacity[0].any() or layer.opacity[:, 0].any() or mass.max() < 4e-4:
                continue  # a blob without a centre, or a shape cut off by the picture's edge
            rows, columns = np.indices(mass.shape)
            centre = np.array([(mass * columns).sum(), (mass * rows).sum()]) - PAD
            for dt in (-t, 1.0 - t):
                place = centre + dt * np.array(layer.motion.velocity)
                assert (place > -12).all()
                assert (place < side + 12).all()
            seen += 1
    assert seen > 20


def test_in_some_scenes_the_camera_stands_still_and_something_moves(scenes: SyntheticMotion) -> None:
    drawn = [scenes.scene(0.5, np.random.default_rng(seed)) for seed in range(200)]
    still = [scene for scene in drawn if scene.layers[0].motion is REST]
    assert abs(len(still) / len(drawn) - STILL) < 3.0 * (STILL * (1.0 - STILL) / len(drawn)) ** 0.5
    assert all(len(scene.layers) > 1 for scene in still)
    scene = replace(next(s for s in still if len(s.layers) == 2), noise=0.0)
    sample = scenes.render(scene, np.random.default_rng(0))
    background = (sample.flow0 == 0.0).all(axis=-1) & (sample.flow1 == 0.0).all(axis=-1)
    assert 0.2 < background.mean() < 1.0
    alike = (sample.img0 == sample.truth).all(axis=-1) & (sample.img1 == sample.truth).all(axis=-1)
    assert alike[background].mean() > 0.5  # but where the object was, will be, or has its soft edge


def test_the_same_generator_gives_the_same_scene_at_every_t(scenes: SyntheticMotion) -> None:
    early, late = (scenes.at(t, np.random.default_rng(7)) for t in (0.25, 0.75))
    again = scenes.at(0.25, np.random.default_rng(7))
    assert np.array_equal(early.truth, again.truth)
    assert not np.array_equal(early.img0, late.img0) or not np.array_equal(early.truth, late.truth)
    # Motion is linear in time, so the flow over the whole interval is the same seen from any t of a translation.
    assert early.t == 0.25
    assert late.t == 0.75


def test_draws_cover_all_times(scenes: SyntheticMotion) -> None:
    times = [scenes.draw(i, np.random.default_rng((0, i))).t for i in range(24)]
    thirds = np.histogram(times, bins=3, range=(0.0, 1.0))[0]
    assert thirds.min() >= 3, f"t in thirds of (0, 1): {thirds}"
    assert all(0.0 < t < 1.0 for t in times)


def test_no_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        SyntheticMotion([], SyntheticOptions())
