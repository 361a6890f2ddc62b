"""What each part loses in INT8, alone in int8 and alone left out, and the largest share of work that is safe."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor

from calibration.ranges import as_tensor, calibration_graph, convolutions
from calibration.samples import Sample
from calibration.simulate import simulated
from export.int8.errors import CalibrationError
from export.int8.recipe import int8_layers
from export.int8.work import share
from ifrnet import IFRNet
from ifrnet.footage.video import Frame
from runtimes.atomic import replacing

CROP = (256, 384)
"""Height and width that losses are measured on, from the middle of each sample."""

Advance = Callable[[], None]


class Unit(StrEnum):
    """What is switched as one."""

    LAYER = "layer"
    BLOCK = "block"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One unit.

    Attributes:
        name: of the layer, or what the layers of the block have in common.
        layers: its convolutions.
        share: of the network's multiply-adds, in [0, 1].
        int8: whether the recipe makes it int8.
        alone_db: PSNR lost when it alone is int8.
        left_out_db: PSNR lost when the whole recipe but this part is int8; None where it is float anyway.
    """

    name: str
    layers: tuple[str, ...]
    share: float
    int8: bool
    alone_db: float
    left_out_db: float | None


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """All parts, and the choice.

    Attributes:
        unit: what was switched as one.
        parts: in the order of the network.
        recipe_db: PSNR lost by the whole recipe.
        chosen: layers of the largest share of work that loses no more than ``max_drop``.
        chosen_db: what these lose together.
        chosen_share: their share of the network's multiply-adds.
    """

    unit: Unit
    parts: tuple[Part, ...]
    recipe_db: float
    chosen: tuple[str, ...]
    chosen_db: float
    chosen_share: float
    max_drop: float


class Meter:
    """Measures what a set of int8 layers loses, in simulation.

    Args:
        model: the reference.
        scales: of every layer.
        samples: with a true middle frame.
    """

    def __init__(self, model: IFRNet, scales: Mapping[str, float], samples: Sequence[Sample]) -> None:
        self._graph = calibration_graph(model)
        self._scales = scales
        self._samples = [tuple(as_tensor(_crop(f)) for f in (s.frame0, s.truth, s.frame1)) for s in samples]
        self._known = {frozenset[str](): self._psnr(())}

    @property
    def layers(self) -> tuple[str, ...]:
        """Every convolution, in order."""
        return tuple(convolutions(self._graph))

    def loss(self, int8: Sequence[str]) -> float:
        """Mean PSNR lost with these layers in int8, in dB."""
        key = frozenset(int8)
        if key not in self._known:
            self._known[key] = self._psnr(int8)
        return self._known[frozenset()] - self._known[key]

    @torch.inference_mode()
    def _psnr(self, int8: Sequence[str]) -> float:
        half, total = torch.full((1, 1, 1, 1), 0.5), 0.0
        with simulated(self._graph, {name: self._scales[name] for name in int8}):
            for frame0, truth, frame1 in self._samples:
                total += _psnr(self._graph(frame0, frame1, half), truth)
        return total / len(self._samples)


def _psnr(output: Tensor, truth: Tensor) -> float:
    return float(-10.0 * torch.log10((output.double() - truth).square().mean()))


def _crop(frame: Frame) -> Frame:
    height, width = (min(side, limit) for side, limit in zip(frame.shape[:2], CROP, strict=True))
    top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return frame[top : top + height, left : left + width]


def units(layers: Sequence[str], unit: Unit) -> dict[str, tuple[str, ...]]:
    """Name -> layers. Blocks are the levels of the encoder, and entry, ResBlock and heads of each decoder."""
    groups: dict[str, tuple[str, ...]] = {}
    for layer in layers:
        name = layer if unit is Unit.LAYER else block_of(layer)
        groups[name] = (*groups.get(name, ()), layer)
    return groups


def block_of(layer: str) -> str:
    """``decoder1.block.conv3.0`` -> ``decoder1.block``; the encoder's first convolution is a block of its own."""
    match = re.match(r"encoder\.pyramid1\.\d\.0|encoder\.pyramid\d|decoder\d\.\w+", layer)
    assert match is not None, layer
    return match[0]


def analyse(meter: Meter, model: IFRNet, unit: Unit, max_drop: float, advance: Advance) -> Analysis:
    """Measure every part and choose.

    Args:
        meter: see :class:`Meter`.
        model: for the work of its variant.
        unit: what is switched as one.
        max_drop: in dB.
        advance: called once for each part.
    """
    recipe = int8_layers(meter.layers)
    parts = []
    for name, layers in units(meter.layers, unit).items():
        inside = set(layers) <= set(recipe)
        parts.append(
            Part(
                name=name,
                layers=layers,
                share=share(model.variant, layers),
                int8=inside,
                alone_db=meter.loss(layers),
                left_out_db=meter.loss([n for n in recipe if n not in layers]) if inside else None,
            )
        )
        advance()
    chosen = choose(parts, meter.loss, max_drop)
    return Analysis(
        unit=unit,
        parts=tuple(parts),
        recipe_db=meter.loss(recipe),
        chosen=chosen,
        chosen_db=meter.loss(chosen),
        chosen_share=share(model.variant, chosen),
        max_drop=max_drop,
    )


def choose(parts: Sequence[Part], loss: Callable[[Sequence[str]], float], max_drop: float) -> tuple[str, ...]:
    """The layers to make int8: everything of the recipe, less the parts that lose most for their work, until it fits.

    Losses do not simply add up, so each step measures what is left.
    """
    kept = [part for part in parts if part.int8]
    order = sorted(kept, key=lambda part: max(part.alone_db, 0.0) / part.share, reverse=True)
    while order and loss([layer for part in kept for layer in part.layers]) > max_drop:
        kept.remove(order.pop(0))
    return tuple(layer for part in kept for layer in part.layers)


def check_plot(path: Path) -> None:
    """Raises CalibrationError where :func:`plot` could not write this file."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CalibrationError("--plot needs matplotlib: pip install matplotlib, or leave it out") from error
    kinds = Figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise CalibrationError(f"{path} is of no kind that can be drawn; expected one of .{', .'.join(sorted(kinds))}")


def plot(analysis: Analysis, path: Path) -> None:
    """Two bars for each part, in the order of the network; the format follows from the file's ending."""
    from matplotlib.figure import Figure

    parts = analysis.parts
    figure = Figure(figsize=(9.0, 1.2 + 0.22 * len(parts)), layout="constrained")
    axes = figure.add_subplot()
    rows = range(len(parts))
    axes.barh([r - 0.2 for r in rows], [part.alone_db for part in parts], 0.4, label="alone in int8", color="#c44e52")
    regained = [0.0 if p.left_out_db is None else analysis.recipe_db - p.left_out_db for p in parts]
    axes.barh([r + 0.2 for r in rows], regained, 0.4, label="regained when it is left out", color="#4c72b0")
    axes.set_yticks(list(rows), [f"{p.name}{'' if p.int8 else ' (float)'}  {p.share:.1%}" for p in parts])
    axes.invert_yaxis()
    axes.set_xlabel("PSNR, dB")
    axes.set_title(f"INT8 recipe: {analysis.recipe_db:.3f} dB lost; share of the multiply-adds beside each name")
    axes.legend()
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120)
