"""What accuracy is measured on: the public benchmarks and the footage that packages ship, in one table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from benchmarks.accuracy.footage import Footage
from benchmarks.accuracy.public_datasets import MULTIFRAME, TRIPLETS
from benchmarks.accuracy.rigid import Objects, Pans
from benchmarks.accuracy.samples import Dataset
from benchmarks.errors import BenchmarkError

SHIPPED: MappingProxyType[str, Callable[..., Dataset]] = MappingProxyType(
    {Footage.name: Footage, Pans.name: Pans, Objects.name: Objects}
)
"""Made of the clips that packages ship."""

NAMES = (*TRIPLETS, *MULTIFRAME, *SHIPPED)
"""What ``--dataset`` takes."""


def open_dataset(name: str, root: Path | None, crop: int | None = None, per_clip: int | None = None) -> Dataset:
    """Open a dataset and check that its files are there.

    Args:
        name: one of :data:`NAMES`.
        root: its folder; the shipped clips have a usual place of their own.
        crop: side of the centre crop, for the 8x sets.
        per_clip: pairs of footage, or frames to pan over, of each clip; None for the usual number.

    Raises:
        BenchmarkError: no such dataset, no root, files that are missing, or an option that the dataset does not take.
    """
    if name not in NAMES:
        raise BenchmarkError(f"no dataset {name!r}; there are: {', '.join(NAMES)}")
    if crop is not None and name not in MULTIFRAME:
        raise BenchmarkError(f"--crop is for {' and '.join(MULTIFRAME)}; the protocol of {name} has whole frames")
    if name in SHIPPED:
        return SHIPPED[name](root) if per_clip is None else SHIPPED[name](root, per_clip)
    if per_clip is not None:
        raise BenchmarkError(f"--per-clip is for {' and '.join(SHIPPED)}; {name} is measured on all its samples")
    if root is None:
        raise BenchmarkError(f"{name} does not come with this package: fetch it, and give its folder as --root")
    return MULTIFRAME[name](root, crop) if name in MULTIFRAME else TRIPLETS[name](root)
