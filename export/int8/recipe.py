"""The recipe: which convolutions are int8, which stay in float, and why. One for every backend.

Layers are the convolutions of the deploy graph in its INT8 form (:data:`REWRITES`), named as in the reference:
``decoder1.block.conv3.0``, ``decoder3.features``. A target with other rewrites beside these keeps the names.

Nothing but convolutions is quantised:

- The mean is a sum over millions of values.
- Resizes, additions and warps of flow stay in float: quantised additions of flow cost 0.8 dB, everything else together
  0.1 dB.
- Warps of features read float positions, and int8 begins after them.
- Residual additions and PReLU are fused behind an int8 convolution, where they run on its float accumulator.
- Mask, residual and blending are the pixels of the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from export.int8.errors import CalibrationError

REWRITES = ("split_resblock", "batch_pair", "flow_apart", "subpixel_deconv")
"""The form that is calibrated. Sub-pixel heads, since no backend here runs a transposed convolution in int8."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What happens to a class of layers. ``pattern`` is matched against the whole name."""

    pattern: str
    int8: bool
    reason: str


COARSEST = Rule(
    pattern=r"decoder4\..*",
    int8=False,
    reason="finds large motion on 1/256 of the pixels: 3 % of the work, and most of what int8 would lose on footage",
)

RULES = (
    Rule(
        pattern=r"encoder\..*",
        int8=False,
        reason="all flow rests on it: 7 % of the work; where motion leaves the frame 53 dB to float32, in int8 37",
    ),
    Rule(
        pattern=r"decoder\d\.side",
        int8=False,
        reason="takes flow in pixels (or t), whose range grows with the frame and has nothing to do with the features'",
    ),
    Rule(
        pattern=r"decoder\d\.flow(\.conv)?",
        int8=False,
        reason="gives flow (in decoder 1 also mask and residual): an error here moves or tints pixels directly",
    ),
    COARSEST,
    Rule(pattern=r"decoder\d\.features", int8=True, reason="features and warped features, of like range"),
    Rule(pattern=r"decoder\d\.block\.conv\d(\.0)?", int8=True, reason="ResBlocks: 63 % of the work, features only"),
    Rule(pattern=r"decoder\d\.rest(\.conv)?", int8=True, reason="the features that a decoder hands on"),
)
"""The first that matches decides."""

SHARED = {"conv2.0": "conv3.0", "conv4.0": "conv5"}
"""A ResBlock's side convolution reads a part of the tensor that the next one reads whole, so both have one scale."""


def rule_for(name: str) -> Rule:
    """The rule of a layer.

    Raises:
        CalibrationError: a convolution that no rule knows, for which no default would be safe.
    """
    for rule in RULES:
        if re.fullmatch(rule.pattern, name):
            return rule
    raise CalibrationError(f"no rule of the INT8 recipe covers convolution {name}: add one to export/int8/recipe.py")


def int8_layers(names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that the recipe makes int8, in the order given."""
    return tuple(name for name in names if rule_for(name).int8)


def scale_owner(name: str) -> str:
    """The layer whose scale ``name`` uses: itself, or the one it shares an input with."""
    head, separator, tail = name.partition(".block.")
    return f"{head}.block.{SHARED[tail]}" if separator and tail in SHARED else name


def layer_name(path: str) -> str:
    """A module path or initializer of the deploy graph as a layer name.

    ``decoders.0.block.conv3.0.weight`` -> ``decoder1.block.conv3.0``, ``pair.encoder.pyramid2.0.0`` ->
    ``encoder.pyramid2.0.0``.
    """
    name = re.sub(r"^pair\.", "", path.removesuffix(".weight"))
    return re.sub(r"^decoders\.(\d)\.", lambda match: f"decoder{int(match[1]) + 1}.", name)
