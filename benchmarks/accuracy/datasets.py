"""What accuracy is measured on: the public benchmarks and the footage that packages ship, in one table."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from benchmarks.accuracy.public_datasets import MULTIFRAME, TRIPLETS
from benchmarks.accuracy.samples import Dataset, Padding, Sample
from benchmarks.errors import BenchmarkError
from ifrnet.footage.catalogue import MEDIA
from ifrnet.footage.download import fetch_all
from ifrnet.footage.triplets import evaluation_triplets, frames_of


class Footage:
    """Triplets of the evaluation clips that packages ship; live action and animation apart."""

    name = "footage"
    scale = 1.0
    padding = Padding.NONE

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

    def samples(self, done: Container[str] = ()) -> Iterator[Sample]:
        """See :class:`Dataset`; one clip's frames are held at a time."""
        for name, triplets in self._triplets.items():
            ids = {triplet: f"{name}/{triplet.first}-{triplet.middle}-{triplet.last}" for triplet in triplets}
            wanted = [triplet for triplet in triplets if ids[triplet] not in done]
            frames = frames_of(name, self._paths[name], wanted) if wanted else {}
            for triplet in wanted:
                yield Sample(
                    id=ids[triplet],
                    group=name,
                    window=ids[triplet],
                    frame0=frames[triplet.first],
                    frame1=frames[triplet.last],
                    t=triplet.t,
                    truth=frames[triplet.middle],
                )

    @property
    def notes(self) -> list[str]:
        """Whom to credit for the clips."""
        return [f"{name}: {MEDIA[name].attribution} ({MEDIA[name].licence})" for name in self._triplets]


NAMES = (*TRIPLETS, *MULTIFRAME, Footage.name)
"""What ``--dataset`` takes."""


def open_dataset(name: str, root: Path | None, crop: int | None = None) -> Dataset:
    """Open a dataset and check that its files are there.

    Args:
        name: one of :data:`NAMES`.
        root: its folder; footage has a usual place of its own.
        crop: side of the centre crop, for the 8x sets.

    Raises:
        BenchmarkError: no such dataset, no root, files that are missing, or a crop where the protocol has none.
    """
    if name not in NAMES:
        raise BenchmarkError(f"no dataset {name!r}; there are: {', '.join(NAMES)}")
    if crop is not None and name not in MULTIFRAME:
        raise BenchmarkError(f"--crop is for {' and '.join(MULTIFRAME)}; the protocol of {name} has whole frames")
    if name == Footage.name:
        return Footage(root)
    if root is None:
        raise BenchmarkError(f"{name} does not come with this package: fetch it, and give its folder as --root")
    return MULTIFRAME[name](root, crop) if name in MULTIFRAME else TRIPLETS[name](root)
