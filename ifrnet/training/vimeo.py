"""Vimeo90K triplets (Xue et al., IJCV 2019), with reference flows stored beside the frames.

Layout as published: ``tri_trainlist.txt`` and ``sequences/<id>/im1.png im2.png im3.png``. ``python -m ifrnet.training
flow`` adds ``flow.npz`` to each folder: float16 flows from im2 to im1 and to im3.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifrnet.training.errors import TrainingError
from ifrnet.training.flow import FlowEstimator
from ifrnet.training.order import epoch_position
from ifrnet.training.samples import Sample, enlarge, read_image
from runtimes.atomic import replacing

TRAIN_LIST = "tri_trainlist.txt"
FRAMES = ("im1.png", "im2.png", "im3.png")
FLOW = "flow.npz"

UPSCALE = 0.1
"""Probability that a sample is enlarged twice before the crop, as published."""


def triplet_folders(root: Path, listing: str = TRAIN_LIST) -> list[Path]:
    """The folders that a list names.

    Raises:
        TrainingError: no list, an empty one, or a folder without its frames.
    """
    path = root / listing
    if not path.is_file():
        raise TrainingError(
            f"{root} is not Vimeo90K: looked for {listing} and sequences/<id>/{FRAMES[0]}; give the folder that holds "
            f"{listing}"
        )
    names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    if not names:
        raise TrainingError(f"{path} names no triplet; is the download whole?")
    folders = [root / "sequences" / name for name in names]
    # A look at both ends instead of at 150,000 files: a broken one in between is named when its turn comes.
    for folder in (folders[0], folders[-1]):
        for name in FRAMES:
            if not (folder / name).is_file():
                raise TrainingError(f"{path} names {folder.name}, but {folder / name} is missing")
    return folders


def write_flows(root: Path, estimator: FlowEstimator, listing: str = TRAIN_LIST) -> Iterator[bool]:
    """Estimate the flows that are missing, one folder at a time, and yield whether each was written.

    An interrupted call goes on where it stopped; flows of another estimator are replaced.
    """
    for folder in triplet_folders(root, listing):
        target = folder / FLOW
        if target.is_file() and _estimator_of(target) == estimator.name:
            yield False
            continue
        img0, truth, img1 = (read_image(folder / name) for name in FRAMES)
        flows = estimator.flows(img0, truth, img1, 0.5)
        assert flows is not None, "every estimator knows the middle"
        flow0, flow1 = (flow.astype(np.float16) for flow in flows)
        with replacing(target) as partial:
            np.savez(partial, flow0=flow0, flow1=flow1, estimator=np.array(estimator.name))
        yield True


class Vimeo90K:
    """The training triplets, each once an epoch in an order of its own; t is 0.5."""

    def __init__(self, root: Path, trust: float, seed: int = 0) -> None:
        """``trust`` is what the stored flows count for in the direct flow loss.

        Raises:
            TrainingError: not Vimeo90K, or its flows have not been made.
        """
        self.folders = triplet_folders(root)
        self._trust = trust
        self._seed = seed
        missing = [folder for folder in (self.folders[0], self.folders[-1]) if not (folder / FLOW).is_file()]
        if missing:
            raise TrainingError(f"{missing[0]} has no {FLOW}: run `python -m ifrnet.training flow --root {root}` first")

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        """See :class:`ifrnet.training.samples.TrainingSet`."""
        folder = self.folders[epoch_position(index, len(self.folders), self._seed)]
        img0, truth, img1 = (read_image(folder / name) for name in FRAMES)
        flow0, flow1 = _read_flows(folder / FLOW)
        sample = Sample(img0=img0, img1=img1, truth=truth, t=0.5, flow0=flow0, flow1=flow1, trust=self._trust)
        return enlarge(sample) if rng.random() < UPSCALE else sample


UNREADABLE = (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile)
"""What ``np.load`` raises for a file that is cut short, empty or something else."""


def _estimator_of(path: Path) -> str:
    """Empty where the file cannot be read, so that it is made again."""
    try:
        with path.open("rb") as file, np.load(file) as content:  # NumPy leaves a damaged one open
            return str(content["estimator"])
    except UNREADABLE:
        return ""


def _read_flows(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    try:
        with path.open("rb") as file, np.load(file) as content:  # NumPy leaves a damaged one open
            flows: Any = (content["flow0"].astype(np.float32), content["flow1"].astype(np.float32))
    except UNREADABLE as error:
        raise TrainingError(f"{path} cannot be read ({error}): delete it and run the flow command again") from error
    return flows[0], flows[1]
