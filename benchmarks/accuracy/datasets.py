"""What accuracy is measured on: the public benchmarks and the footage that packages ship, in one table."""

from __future__ import annotations

from pathlib import Path

from benchmarks.accuracy.footage import Footage
from benchmarks.accuracy.public_datasets import MULTIFRAME, TRIPLETS
from benchmarks.accuracy.samples import Dataset
from benchmarks.errors import BenchmarkError

NAMES = (*TRIPLETS, *MULTIFRAME, Footage.name)
"""What ``--dataset`` takes."""


def open_dataset(name: str, root: Path | None, crop: int | None = None, per_clip: int | None = None) -> Dataset:
    """Open a dataset and check that its files are there.

    Args:
        name: one of :data:`NAMES`.
        root: its folder; footage has a usual place of its own.
        crop: side of the centre crop, for the 8x sets.
        per_clip: pairs of frames from each clip of the footage; None for the usual number.

    Raises:
        BenchmarkError: no such dataset, no root, files that are missing, or an option that the dataset does not take.
    """
    if name not in NAMES:
        raise BenchmarkError(f"no dataset {name!r}; there are: {', '.join(NAMES)}")
    if crop is not None and name not in MULTIFRAME:
        raise BenchmarkError(f"--crop is for {' and '.join(MULTIFRAME)}; the protocol of {name} has whole frames")
    if name == Footage.name:
        return Footage(root) if per_clip is None else Footage(root, per_clip)
    if per_clip is not None:
        raise BenchmarkError(f"--per-clip is for {Footage.name}; {name} is measured on all its samples")
    if root is None:
        raise BenchmarkError(f"{name} does not come with this package: fetch it, and give its folder as --root")
    return MULTIFRAME[name](root, crop) if name in MULTIFRAME else TRIPLETS[name](root)
