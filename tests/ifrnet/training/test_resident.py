"""What the device holds: the loader's clips to the bit, scenes of the loader's kind, runs that resume."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ifrnet.training import commands, loop
from ifrnet.training.clips import Clips
from ifrnet.training.cutting import ARRAY, INDEX, LENGTH
from ifrnet.training.errors import TrainingError
from ifrnet.training.flow import Dis
from ifrnet.training.options import Schedule
from ifrnet.training.resident import AHEAD, ResidentMixture, ahead
from ifrnet.training.resident_scenes import ResidentPictures, ResidentScenes, gaussian
from ifrnet.training.samples import Augmentation, Batch, collate
from ifrnet.training.sources import wide_scenes
from ifrnet.training.stream import Mixture, Source, StepSampler, batches
from ifrnet.training.synthetic import REACH, STILL, SyntheticMotion, SyntheticOptions
from ifrnet.warp import warp
from tests.ifrnet.training.test_loop import ALONE, MACHINE, NO_AUGMENTATION, SMALL, WIDE

CPU = torch.device("cpu")


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    """Three clips of noise, 48 px."""
    rows = [{"source": "a", "speed": 3.0, "triplets": [[0, 1, 2], [1, 2, 4]]} for _ in range(3)]
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / INDEX).write_text(json.dumps({"length": LENGTH, "side": 48, "clips": rows}))
    pixels = np.random.default_rng(0).integers(0, 256, (3, LENGTH, 48, 48, 3), dtype=np.uint8)
    (folder / ARRAY).write_bytes(pixels.tobytes())
    return folder


def sampler(batch: int, first: int = 0, last: int = 3) -> StepSampler:
    return StepSampler(first_step=first, last_step=last, batch=batch, rank=0, world=1)


def test_clips_are_those_of_the_loader(clip_folder: Path) -> None:
    often = Augmentation(channels=0.5, vertical=0.5, horizontal=0.5, transpose=0.5, time=0.5)
    source = Source(name="clips", data=Clips(clip_folder, None, 0.0, 32), share=1.0)
    mixture = Mixture([source], 32, often, 5)
    mine = list(ResidentMixture(mixture, CPU, {}).batches(sampler(16)))
    theirs = list(batches(mixture, sampler(16), 0))
    assert len(mine) == len(theirs) == 3
    for one, other in zip(mine, theirs, strict=True):
        for name, values in one._asdict().items():
            torch.testing.assert_close(values, getattr(other, name), rtol=0.0, atol=0.0, msg=name)


def drawn(pictures: list[NDArray[np.uint8]], options: SyntheticOptions, count: int = 64) -> Batch:
    held = ResidentPictures(pictures, CPU)
    return ResidentScenes(held, options).batch(count, np.random.default_rng(1), Augmentation())


def test_flows_lead_to_where_the_frames_were_drawn(pictures: list[NDArray[np.uint8]]) -> None:
    batch = drawn(pictures, SyntheticOptions(side=64, fastest=20.0, noise=0.0))
    for frame, flow in ((batch.img0, batch.flow0), (batch.img1, batch.flow1)):
        error = 255.0 * (warp(frame, flow) - batch.truth).abs().mean(dim=1)
        # Most of a scene can be seen in either frame; resampled twice, it is a little softer.
        assert error.flatten(1).median(dim=1).values.median() < 1.5
    against = 255.0 * (warp(batch.img0, -batch.flow0) - batch.truth).abs().mean(dim=1)
    assert against.flatten(1).median(dim=1).values.median() > 4.0


def test_scenes_move_as_the_loader_s_do(pictures: list[NDArray[np.uint8]]) -> None:
    options = SyntheticOptions(side=64, slowest=1.0, fastest=40.0, noise=0.0)
    mine = drawn(pictures, options, 256)
    data = SyntheticMotion(pictures, options)
    theirs = collate([data.draw(0, np.random.default_rng(seed)) for seed in range(256)])
    for batch in (mine, theirs):
        assert 0.05 <= float(batch.t.min()) < 0.15
        assert 0.85 < float(batch.t.max()) <= 0.95
        assert bool((batch.trust == 1.0).all())
    motion, reference = (
        torch.linalg.vector_norm(batch.flow1 - batch.flow0, dim=1).flatten(1) for batch in (mine, theirs)
    )
    # 256 draws of each: a share is known to 0.03, the logarithm of a median speed to about a tenth.
    still, expected = ((m.median(dim=1).values < 1e-3).float().mean() for m in (motion, reference))
    assert float(still) == pytest.approx(float(expected), abs=0.12)
    assert 0.1 < float(still) <= STILL + 0.1
    logs = [float(m.mean(dim=1).clamp(min=0.1).log().mean()) for m in (motion, reference)]
    assert logs[0] == pytest.approx(logs[1], abs=0.35)
    spread = [float(m.std(dim=1).log().mean()) for m in (motion, reference)]
    assert spread[0] == pytest.approx(spread[1], abs=0.5)
    contrast = [float(batch.truth.std(dim=(2, 3)).mean()) for batch in (mine, theirs)]
    assert contrast[0] == pytest.approx(contrast[1], rel=0.25)


def test_motion_stays_within_reach_and_cut_outs_in_the_picture(pictures: list[NDArray[np.uint8]]) -> None:
    plain = SyntheticOptions(side=64, slowest=60.0, fastest=100.0, rotation=0.0, zoom=0.0, ripple=0.0, noise=0.0)
    batch = drawn(pictures, plain)
    assert float((batch.flow1 - batch.flow0).abs().sum(dim=1).max()) <= REACH * 64 + 1e-3
    layers = [len(torch.unique(flow.round(decimals=3).flatten(1), dim=1).T) for flow in batch.flow0]
    assert max(layers) == 4
    assert min(layers) == 1  # a background alone


def test_noise_is_on_the_inputs_alone(pictures: list[NDArray[np.uint8]]) -> None:
    still = SyntheticOptions(side=64, slowest=1e-4, fastest=1e-3, ripple=0.0, defocused=0.0)
    noisy, clean = drawn(pictures, replace(still, noise=40.0)), drawn(pictures, replace(still, noise=0.0))
    assert torch.equal(noisy.truth, clean.truth)
    differs = (noisy.img0 != clean.img0).flatten(1).float().mean(dim=1) > 0.5
    assert 0.1 < float(differs.float().mean()) < 0.6
    assert torch.equal(clean.truth, (255.0 * clean.truth).round() / 255.0)


def test_pieces_are_those_that_opencv_cuts(pictures: list[NDArray[np.uint8]]) -> None:
    given = [pictures[0], pictures[1][:120, :150]]
    held = ResidentPictures(given, CPU)
    # Blocks of a power of two are means, to the rounding; of others a reduced picture is sampled in between.
    for number, box, tolerance in (
        (0, (8, 16, 64), 0.5),
        (1, (16, 4, 64), 0.5),
        (0, (0, 8, 128), 0.5),
        (0, (3, 5, 96), 6.0),
        (1, (7, 1, 80), 6.0),
    ):
        top, left, side = box
        piece = held.cut(np.array([number]), np.array([box], dtype=np.float64), 32)[0].permute(1, 2, 0).numpy()
        square = np.ascontiguousarray(given[number][top : top + side, left : left + side])
        expected = cv2.resize(square, (32, 32), interpolation=cv2.INTER_AREA)
        assert np.abs(piece - expected).mean() < tolerance, box
    both = held.cut(np.array([1, 0]), np.array([[16.0, 4.0, 64.0], [3.0, 5.0, 96.0]]), 32)
    assert torch.equal(both[0], held.cut(np.array([1]), np.array([[16.0, 4.0, 64.0]]), 32)[0])
    assert torch.equal(both[1], held.cut(np.array([0]), np.array([[3.0, 5.0, 96.0]]), 32)[0])
    whole = held.cut(np.array([0]), np.array([[8.0, 16.0, 64.0]]), 64)[0].permute(1, 2, 0).numpy()
    assert np.abs(whole - pictures[0][8:72, 16:80]).max() < 0.01


def test_each_plane_is_blurred_by_its_own_width() -> None:
    planes = torch.rand((2, 3, 40, 48), generator=torch.Generator().manual_seed(0))
    widths = np.array([0.8, 3.0])
    blurred = gaussian(planes, widths)
    for plane, mine, width in zip(planes, blurred, widths, strict=True):
        expected = cv2.GaussianBlur(plane.permute(1, 2, 0).numpy(), (19, 19), width, borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(mine.permute(1, 2, 0).numpy(), expected, atol=1e-4)


def test_a_run_with_resident_data_resumes_exactly(tmp_path: Path, clip_folder: Path, scenes: SyntheticMotion) -> None:
    small = SyntheticMotion(scenes.pictures, replace(scenes.options, side=32))
    weights = replace(SMALL.weights, coarse=0.01, geometry=0.0, distillation=0.0)
    options = replace(
        SMALL,
        schedule=Schedule.CONSTANT,
        weights=weights,
        wide=WIDE,
        crop=32,
        batch=4,
        resident=True,
        estimated_trust=0.0,
    )
    sources = [
        Source(name="synthetic", data=small, share=0.5),
        Source(name="clips", data=Clips(clip_folder, None, 0.0, 32), share=0.5),
    ]

    def trained(folder: Path, steps: int) -> dict[str, torch.Tensor]:
        run = loop.new_run(replace(options, steps=steps), ALONE.device)
        loop.resume(run, folder)
        loop.train(run, folder, sources, MACHINE, ALONE, wide=wide_scenes(sources, options))
        return run.model.state_dict()

    whole = trained(tmp_path / "whole", 4)
    trained(tmp_path / "halves", 2)
    halves = trained(tmp_path / "halves", 4)
    start = loop.new_run(options, ALONE.device).model.state_dict()
    assert all(torch.equal(value, halves[key]) for key, value in whole.items())
    assert any(not torch.equal(value, start[key]) for key, value in whole.items())


def test_what_cannot_be_held_is_refused(clip_folder: Path) -> None:
    source = Source(name="clips", data=Clips(clip_folder, Dis(), 0.3, 32), share=1.0)
    with pytest.raises(TrainingError, match=r"no estimated flow: give .*--estimated-trust 0"):
        ResidentMixture(Mixture([source], 32, NO_AUGMENTATION, 0), CPU, {})

    class Others:
        def draw(self, index: int, rng: np.random.Generator) -> object:
            raise AssertionError

    others = Source(name="vimeo", data=Others(), share=1.0)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="--data vimeo= needs the loader: leave --resident out"):
        ResidentMixture(Mixture([others], 32, NO_AUGMENTATION, 0), CPU, {})


def test_the_pictures_of_a_run_are_held_once(scenes: SyntheticMotion) -> None:
    held: dict[int, ResidentPictures] = {}
    for side in (32, 64):
        source = Source(name="synthetic", data=scenes, share=1.0)
        ResidentMixture(Mixture([source], side, NO_AUGMENTATION, 0), CPU, held)
    assert len(held) == 1


def test_items_are_taken_ahead_in_order_and_their_errors_told() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(5):
            taken.append(number)
            yield number
        raise ValueError("no more")

    waiting = ahead(items(), nullcontext)
    assert [next(waiting) for _ in range(5)] == taken == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="no more"):
        next(waiting)


def test_a_reader_that_leaves_stops_the_thread() -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            yield taken[-1]

    before = set(threading.enumerate())
    reader = ahead(endless(), nullcontext)
    assert [next(reader), next(reader)] == [0, 1]
    mine = set(threading.enumerate()) - before
    reader.close()  # type: ignore[attr-defined]
    for thread in mine:
        thread.join(timeout=10.0)
        assert not thread.is_alive()
    assert len(taken) <= 2 + AHEAD + 1


def test_clips_of_another_side_and_more_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    for given, message in (({"side": 40, "places": 1}, "--side 40"), ({"side": 64, "places": 0}, "--places 0")):
        arguments = argparse.Namespace(output=tmp_path, archives=None, videos=tmp_path, **given)
        with pytest.raises(TrainingError, match=message):
            commands.prepare(arguments)
