"""Augmentation keeps flows true; the stream of samples is a function of seed and index."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from ifrnet.training.errors import TrainingError
from ifrnet.training.order import epoch_position
from ifrnet.training.samples import Augmentation, Sample, collate, crop, enlarge, without_flow
from ifrnet.training.stream import Mixture, Source, StepSampler, batches
from ifrnet.training.synthetic import SyntheticMotion

NEVER = {"channels": 0.0, "vertical": 0.0, "horizontal": 0.0, "transpose": 0.0, "time": 0.0}


def misfit(sample: Sample) -> float:
    """How far the frames, sampled along the flows, are from the true frame, away from the borders."""
    height, width = sample.truth.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    total = 0.0
    for frame, flow in ((sample.img0, sample.flow0), (sample.img1, sample.flow1)):
        moved = cv2.remap(
            np.ascontiguousarray(frame).astype(np.float32), x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR
        )
        total += float(np.median(np.abs(moved - sample.truth)[16:-16, 16:-16]))
    return total


@pytest.mark.parametrize("name", list(NEVER))
def test_each_augmentation_keeps_flow_and_frames_together(scenes: SyntheticMotion, name: str) -> None:
    sample = scenes.at(0.3, np.random.default_rng(4))
    changed = Augmentation(**{**NEVER, name: 1.0}).apply(sample, np.random.default_rng(0))
    assert not np.array_equal(changed.img0, sample.img0)
    assert misfit(changed) < misfit(sample) + 0.5
    assert changed.t == pytest.approx(0.7 if name == "time" else 0.3)


def test_enlarging_doubles_the_flow(scenes: SyntheticMotion) -> None:
    sample = scenes.at(0.3, np.random.default_rng(4))
    large = enlarge(sample)
    assert large.truth.shape == (128, 128, 3)
    assert large.flow0.max() == pytest.approx(2.0 * sample.flow0.max(), rel=0.05)
    assert misfit(large) < misfit(sample) + 1.0


def test_crops_that_do_not_fit_say_so(scenes: SyntheticMotion) -> None:
    with pytest.raises(TrainingError, match="64x64; crops of 80"):
        crop(scenes.at(0.5, np.random.default_rng(0)), 80, np.random.default_rng(0))


@dataclass
class Constant:
    """Samples of one gray level."""

    level: int

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        frame = np.full((32, 32, 3), self.level, dtype=np.uint8)
        return without_flow(frame, frame, frame, 0.5)


def levels(mixture: Mixture, first: int, last: int, *, rank: int = 0, world: int = 1, batch: int = 4) -> list[int]:
    sampler = StepSampler(first_step=first, last_step=last, batch=batch, rank=rank, world=world)
    return [round(255 * v) for b in batches(mixture, sampler, 0) for v in b.truth[:, 0, 0, 0].tolist()]


def test_sources_get_their_share_and_resuming_continues_the_stream() -> None:
    sources = [
        Source(name="a", data=Constant(level=10), share=3.0),
        Source(name="b", data=Constant(level=20), share=1.0),
    ]
    mixture = Mixture(sources, 32, Augmentation(), seed=0)
    whole = levels(mixture, 0, 50)
    assert whole.count(10) == pytest.approx(150, abs=3)
    assert whole[80:] == levels(mixture, 20, 50)


def test_processes_share_the_samples_of_a_step(scenes: SyntheticMotion) -> None:
    mixture = Mixture([Source(name="s", data=scenes, share=1.0)], 64, Augmentation(), seed=3)
    alone = next(iter(batches(mixture, StepSampler(first_step=5, last_step=6, batch=4, rank=0, world=1), 0)))
    parts = [
        next(iter(batches(mixture, StepSampler(first_step=5, last_step=6, batch=2, rank=r, world=2), 0)))
        for r in (0, 1)
    ]
    for index, whole in enumerate(alone):
        assert (whole[:2] == parts[0][index]).all()
        assert (whole[2:] == parts[1][index]).all()


def test_a_worker_process_makes_the_same_samples(scenes: SyntheticMotion) -> None:
    mixture = Mixture([Source(name="s", data=scenes, share=1.0)], 48, Augmentation(), seed=3)
    sampler = StepSampler(first_step=0, last_step=2, batch=2, rank=0, world=1)
    for here, there in zip(batches(mixture, sampler, 0), batches(mixture, sampler, 1), strict=True):
        assert all((a == b).all() for a, b in zip(here, there, strict=True))


@dataclass
class Broken:
    """Cannot be read."""

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        try:
            raise OSError("cut short")
        except OSError as error:
            raise TrainingError("a.npy cannot be read") from error


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_worker_cannot_read_is_said_in_its_own_words(workers: int) -> None:
    mixture = Mixture([Source(name="b", data=Broken(), share=1.0)], 32, Augmentation(), seed=0)
    sampler = StepSampler(first_step=0, last_step=1, batch=1, rank=0, world=1)
    with pytest.raises(TrainingError, match=r"^a\.npy cannot be read$"):
        next(batches(mixture, sampler, workers))


def test_every_element_once_an_epoch() -> None:
    assert sorted(epoch_position(i, 7, 1) for i in range(7)) == list(range(7))
    assert [epoch_position(i, 7, 1) for i in range(7)] != [epoch_position(i, 7, 1) for i in range(7, 14)]


def test_a_batch_has_the_documented_shapes(scenes: SyntheticMotion) -> None:
    batch = collate([scenes.at(0.25, np.random.default_rng(i)) for i in range(2)])
    assert batch.img0.shape == (2, 3, 64, 64)
    assert batch.flow0.shape == (2, 2, 64, 64)
    assert batch.t.flatten().tolist() == [0.25, 0.25]
    assert 0.0 <= float(batch.truth.min()) <= float(batch.truth.max()) <= 1.0
