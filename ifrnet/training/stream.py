"""The endless stream of batches: sample n is a function of (seed, n) alone, so a run resumes at any step exactly."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ifrnet.training.errors import TrainingError
from ifrnet.training.samples import Augmentation, Batch, Sample, TrainingSet, collate, crop


@dataclass(frozen=True, kw_only=True)
class Source:
    """A training set and its share of the samples."""

    name: str
    data: TrainingSet
    share: float


class Mixture(Dataset[Sample]):
    """Several training sets, drawn by share; augmented and cropped."""

    def __init__(self, sources: Sequence[Source], side: int, augmentation: Augmentation, seed: int) -> None:
        self.sources = sources
        self.side = side
        self.augmentation = augmentation
        self.seed = seed
        shares = np.array([source.share for source in sources], dtype=np.float64)
        self._edges = np.cumsum(shares / shares.sum())

    def source_of(self, index: int) -> int:
        """Number of the source of sample ``index``.

        A low-discrepancy sequence instead of a draw: every batch gets close to its share of each source.
        """
        place = (index * 0.6180339887498949) % 1.0
        return int(np.searchsorted(self._edges, place, side="right").clip(max=len(self.sources) - 1))

    def __getitem__(self, index: int) -> Sample:
        """Sample ``index`` of the run. Consecutive samples are spread evenly over the sources."""
        rng = np.random.default_rng((self.seed, index))
        source = self.sources[self.source_of(index)]
        sample = crop(source.data.draw(index, rng), self.side, rng)
        return self.augmentation.apply(sample, rng)


class StepSampler(Sampler[list[int]]):
    """Indices of the batches from ``first_step`` on, those of one process among ``world``."""

    def __init__(self, *, first_step: int, last_step: int, batch: int, rank: int, world: int) -> None:
        self.steps = range(first_step, last_step)
        self.batch = batch
        self.rank = rank
        self.world = world

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.steps:
            start = (step * self.world + self.rank) * self.batch
            yield list(range(start, start + self.batch))

    def __len__(self) -> int:
        return len(self.steps)


def batches(mixture: Mixture, sampler: StepSampler, workers: int) -> Iterator[Batch]:
    """The batches of the sampler's steps, in order.

    Workers are spawned, so training sets must pickle small: a forked one inherits the thread pools of OpenMP and OpenCV
    without their threads and hangs in the first parallel loop.

    Raises:
        TrainingError: data that cannot be used, in the words of whoever found it, here or in a worker.
    """
    loader: DataLoader[Batch] = DataLoader(
        mixture,  # type: ignore[arg-type]  # yields samples, collated to batches
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=_quiet_worker if workers else None,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=bool(workers),
    )
    try:
        yield from loader
    except TrainingError as error:
        # PyTorch raises that of a worker with its traceback for a message, which ends in what was said.
        raise TrainingError(str(error).rpartition(f"{TrainingError.__name__}: ")[2].strip()) from None


def _quiet_worker(_: int) -> None:
    """One thread a worker, the training process has the rest; Ctrl-C is for the training process alone."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
