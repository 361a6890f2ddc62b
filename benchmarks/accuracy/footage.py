"""The evaluation clips that packages ship, as a dataset: the middle between neighbours, quarters of wider pairs."""

from __future__ import annotations

import importlib.util
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from benchmarks.accuracy.samples import Padding, Sample
from benchmarks.errors import BenchmarkError
from ifrnet.footage.catalogue import MEDIA
from ifrnet.footage.download import fetch_all
from ifrnet.footage.triplets import Triplet, evaluation_triplets, frames_of

CLIPS = MappingProxyType({"live action": ("phone", "cup", "run"), "animation": ("bbb",)})
"""Heading -> clips. Live action and animation stand apart: what helps one may cost the other."""

QUARTERS = "quarters"
"""Suffix of a clip's group and of its heading: frames 0 and 4 go in, 1 and 3 are asked for, at t = 1/4 and 3/4."""


@dataclass(frozen=True, kw_only=True)
class _Question:
    """The frames of one pair and those that are asked for."""

    group: str
    pair: Triplet
    middles: tuple[int, ...]

    @property
    def window(self) -> str:
        return f"{self.group}/{self.pair.first}-{self.pair.last}"


class Footage:
    """Pairs of the evaluation clips that packages ship; live action and animation apart.

    Raises:
        BenchmarkError: no pairs asked for, or no OpenCV, which measures how far things move.
    """

    name = "footage"
    scale = 1.0
    padding = Padding.NONE

    def __init__(self, root: Path | None, per_clip: int = 15) -> None:
        """``root``: the footage cache; what it lacks is fetched into it. None for the usual one.

        ``per_clip``: pairs of each clip and kind.
        """
        self._paths = clip_paths(root, per_clip)
        self._questions = {name: list(_questions(name, path, per_clip)) for name, path in self._paths.items()}

    @property
    def sections(self) -> dict[str, tuple[str, ...]]:
        """See :class:`benchmarks.accuracy.samples.Dataset`."""
        quarters = {
            f"{title}, {QUARTERS}": tuple(f"{name} {QUARTERS}" for name in part) for title, part in CLIPS.items()
        }
        return {**CLIPS, **quarters}

    def __len__(self) -> int:
        return sum(len(question.middles) for questions in self._questions.values() for question in questions)

    def samples(self, done: Container[str] = ()) -> Iterator[Sample]:
        """See :class:`benchmarks.accuracy.samples.Dataset`; one clip's frames are held at a time."""
        from ifrnet.training.flow import Dis, motion

        estimator = Dis()
        for name, questions in self._questions.items():
            wanted = [question for question in questions if question.window not in done]
            frames = frames_of(name, self._paths[name], _triplets(wanted)) if wanted else {}
            for question in wanted:
                frame0, frame1 = frames[question.pair.first], frames[question.pair.last]
                moved = motion(frame0, frame1, estimator)
                for middle in question.middles:
                    yield Sample(
                        id=f"{question.group}/{question.pair.first}-{middle}-{question.pair.last}",
                        group=question.group,
                        window=question.window,
                        frame0=frame0,
                        frame1=frame1,
                        t=(middle - question.pair.first) / (question.pair.last - question.pair.first),
                        truth=frames[middle],
                        motion=moved,
                    )

    @property
    def notes(self) -> list[str]:
        """What the parts are, and whom to credit for the clips."""
        credits = [f"{name}: {MEDIA[name].attribution} ({MEDIA[name].licence})" for name in self._questions]
        return [
            f"{QUARTERS}: frames 0 and 4 go in, 1 and 3 are asked for; elsewhere 0 and 2 go in, 1 is asked for",
            "motion: 95th percentile of OpenCV's DIS flow between the two frames that go in",
            *credits,
        ]


def clip_paths(root: Path | None, per_clip: int) -> dict[str, Path]:
    """The evaluation clips by name, fetched into the cache ``root`` where they are missing.

    Raises:
        BenchmarkError: less than one sample of each clip asked for, or no OpenCV, which the samples are measured with.
    """
    if per_clip < 1:
        raise BenchmarkError(f"--per-clip {per_clip}: expected at least 1")
    if importlib.util.find_spec("cv2") is None:
        raise BenchmarkError("OpenCV is not installed: pip install 'ifrnet-export[bench]'")
    return dict(fetch_all([name for part in CLIPS.values() for name in part], cache=root))


def _questions(name: str, path: Path, count: int) -> Iterator[_Question]:
    for pair in evaluation_triplets(name, path, count):
        yield _Question(group=name, pair=pair, middles=(pair.middle,))
    for pair in evaluation_triplets(name, path, count, spacing=2):
        middles = (pair.first + 1, pair.last - 1)
        yield _Question(group=f"{name} {QUARTERS}", pair=pair, middles=middles)


def _triplets(questions: Sequence[_Question]) -> list[Triplet]:
    """Every frame of the questions, as triplets."""
    return [
        Triplet(first=question.pair.first, middle=middle, last=question.pair.last)
        for question in questions
        for middle in question.middles
    ]
