"""What accuracy is measured on: datasets behind one protocol, in an explicit table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError
from ifrnet.footage.catalogue import MEDIA
from ifrnet.footage.fetch import fetch_all
from ifrnet.footage.triplets import evaluation_triplets, frames_of


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One question with its answer.

    Attributes:
        id: unique in the dataset, and the same in every run.
        group: part of the dataset whose mean is a row of its own, for example a clip.
        frame0, frame1: (H, W, 3) uint8 RGB.
        t: time of ``truth`` between the two, in (0, 1).
        truth: (H, W, 3) uint8 RGB.
    """

    id: str
    group: str
    frame0: NDArray[np.uint8]
    frame1: NDArray[np.uint8]
    t: float
    truth: NDArray[np.uint8]


class Dataset(Protocol):
    """A list of samples in a fixed order."""

    name: str

    @property
    def sections(self) -> dict[str, tuple[str, ...]]:
        """Heading -> groups whose plain mean (over samples) stands below it."""
        ...

    def __len__(self) -> int: ...

    def samples(self) -> Iterator[Sample]:
        """Every sample; frames are read when their turn comes."""
        ...


class Footage:
    """Triplets of the evaluation clips that packages ship; live action and animation apart."""

    name = "footage"

    def __init__(self, root: Path | None, per_clip: int = 15) -> None:
        """``root``: the footage cache; what it lacks is fetched into it. None for the usual one."""
        if per_clip < 1:
            raise BenchmarkError(f"{per_clip} triplets a clip; expected at least 1")
        groups = [group for section in self.sections.values() for group in section]
        self._paths = fetch_all(groups, cache=root)
        self._triplets = {name: evaluation_triplets(name, self._paths[name], per_clip) for name in groups}

    @property
    def sections(self) -> dict[str, tuple[str, ...]]:
        """See :class:`Dataset`."""
        return {"live action": ("phone", "cup"), "animation": ("bbb",)}

    def __len__(self) -> int:
        return sum(map(len, self._triplets.values()))

    def samples(self) -> Iterator[Sample]:
        """See :class:`Dataset`; one clip's frames are held at a time."""
        for name, triplets in self._triplets.items():
            frames = frames_of(name, self._paths[name], triplets)
            for triplet in triplets:
                yield Sample(
                    id=f"{name}/{triplet.first}-{triplet.middle}-{triplet.last}",
                    group=name,
                    frame0=frames[triplet.first],
                    frame1=frames[triplet.last],
                    t=triplet.t,
                    truth=frames[triplet.middle],
                )

    @property
    def attributions(self) -> list[str]:
        """Whom to credit for the clips."""
        return [f"{name}: {MEDIA[name].attribution} ({MEDIA[name].licence})" for name in self._triplets]


DATASETS: MappingProxyType[str, Callable[[Path | None], Dataset]] = MappingProxyType({"footage": Footage})
"""``--dataset`` -> how it is opened from ``--root``."""
