"""Which training sets there are by name, for ``--data KIND=PATH@SHARE``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ifrnet.training.clips import Clips, Pictures
from ifrnet.training.errors import TrainingError
from ifrnet.training.flow import Dis
from ifrnet.training.samples import TrainingSet
from ifrnet.training.stream import Source
from ifrnet.training.synthetic import SyntheticMotion, SyntheticOptions

ESTIMATED_TRUST = 0.3
"""What an estimated flow counts for in the direct flow loss; the published distillation weighs it by itself."""


def _synthetic(path: Path, crop: int) -> TrainingSet:
    return SyntheticMotion(Pictures(path), SyntheticOptions(side=crop))


def _clips(path: Path, crop: int) -> TrainingSet:
    return Clips(path, Dis(), ESTIMATED_TRUST, crop)


KINDS: dict[str, Callable[[Path, int], TrainingSet]] = {
    "synthetic": _synthetic,
    "clips": _clips,
}
"""Kind -> builder from a folder and the side of the crops."""


def parse_source(text: str, crop: int) -> Source:
    """``KIND=PATH`` or ``KIND=PATH@SHARE`` as a source.

    Raises:
        TrainingError: no such kind, a share that is no positive number, or nothing usable at the path.
    """
    kind, separator, rest = text.partition("=")
    if not separator or kind not in KINDS:
        raise TrainingError(f"--data {text}: expected KIND=PATH[@SHARE] with KIND one of {', '.join(KINDS)}")
    path, _, share = rest.partition("@")
    try:
        amount = float(share) if share else 1.0
    except ValueError:
        amount = 0.0
    if not 0.0 < amount < float("inf"):
        raise TrainingError(f"--data {text}: the share is {share!r}; expected a positive number, for example 0.5")
    return Source(name=kind, data=KINDS[kind](Path(path), crop), share=amount)
