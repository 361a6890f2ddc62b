"""The sizes of IFRNet as data, the arithmetic of frame sizes and scales, and what is known of a checkpoint.

Everything in the network follows from the encoder widths (Kong et al., CVPR 2022, section 3 and supplement),
so a variant is a row here and not a class. Nothing in this module needs PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from ifrnet.errors import SizeError
from runtimes.contract import Timesteps

LEVELS = 4
STRIDE = 1 << LEVELS
"""The encoder halves the frame four times, so the network needs sides that are multiples of 16."""

FLOW_CHANNELS = 4
"""flow0 (x, y) and flow1 (x, y), in pixels of their pyramid level."""

SYNTHESIS_CHANNELS = 8
"""Output of decoder 1: flow0 (2), flow1 (2), mask logit (1), residual (3)."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One size of the network.

    Attributes:
        name: the name in the paper, in lower case.
        widths: encoder channels c1..c4 at 1/2, 1/4, 1/8 and 1/16 of the frame.
        first_kernel: kernel side of the first convolution, stride 2, padding ``first_kernel // 2``.
        side: channels that the ResBlocks refine once more ("side channels").
    """

    name: str
    widths: tuple[int, int, int, int]
    first_kernel: int
    side: int

    def decoder_width(self, level: int) -> int:
        """Channels inside decoder ``level`` (1 is the finest): 2 c4 for the coarsest, 3 ck for the rest."""
        return (2 if level == LEVELS else 3) * self.widths[level - 1]

    def decoder_inputs(self, level: int) -> int:
        """Input channels of decoder ``level``: both features and t, or three feature maps and both flows."""
        return self.decoder_width(level) + (1 if level == LEVELS else FLOW_CHANNELS)

    def decoder_outputs(self, level: int) -> int:
        """Output channels of decoder ``level``: flows and the next features, or the synthesis channels."""
        return SYNTHESIS_CHANNELS if level == 1 else self.widths[level - 2] + FLOW_CHANNELS


VARIANTS = MappingProxyType(
    {
        variant.name: variant
        for variant in (
            Variant(name="ifrnet_s", widths=(24, 36, 54, 72), first_kernel=3, side=24),
            Variant(name="ifrnet", widths=(32, 48, 72, 96), first_kernel=3, side=32),
            Variant(name="ifrnet_l", widths=(64, 96, 144, 192), first_kernel=7, side=64),
        )
    }
)


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """Where a model's weights come from.

    Attributes:
        name: the built-in name or the file name without its suffix; names artifacts.
        source: file name without its folder, so that manifests do not depend on the machine.
        format: ``pth``, ``safetensors``, ``ncnn`` or ``random``.
        sha256: of the file; of the ``.param`` followed by the ``.bin`` for ncnn.
        network: which of several networks in the file, by the keys that lead to it; "" where it holds one.
        timesteps: what the weights serve, narrowed by the provenance.
        provenance: what stands in the checkpoint's metadata and in the JSON file beside it; JSON types only.
    """

    name: str
    source: str
    format: str
    sha256: str
    timesteps: Timesteps
    network: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)


def size_multiple(scale: float) -> int:
    """Smallest m such that ``m * scale`` is a multiple of 16: the frame sides the network takes at ``scale``.

    16 at scale 1, 32 at 0.5, 20 at 0.8 (the SNU-FILM protocol).

    Raises:
        SizeError: the scale is not a ratio of small integers in [1/8, 4].
    """
    if not math.isfinite(scale) or not 0.125 <= scale <= 4.0:
        raise SizeError(f"scale is {scale}; expected a number from 0.125 to 4, for example 0.5 for UHD frames")
    ratio = Fraction(scale).limit_denominator(64)
    if abs(float(ratio) - scale) > 1e-9:
        raise SizeError(f"scale is {scale}; expected a ratio of small integers, for example 0.5, 0.75 or 0.8")
    return STRIDE * ratio.denominator // math.gcd(STRIDE, ratio.numerator)


def padded_side(side: int, scale: float = 1.0) -> int:
    """The frame side after padding to :func:`size_multiple`."""
    multiple = size_multiple(scale)
    return -(-side // multiple) * multiple
