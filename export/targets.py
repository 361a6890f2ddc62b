"""The targets: an explicit table from name to module, and what each module provides."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, cast

from export.errors import ExportError
from export.options import ExportOptions
from runtimes.contract import Precision

if TYPE_CHECKING:
    import onnx

TARGETS = MappingProxyType(
    {
        "onnx": "export.to_onnx",
        "openvino": "export.to_openvino",
        "ncnn": "export.to_ncnn",
        "trt": "export.to_tensorrt",
    }
)
"""Target name -> module."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an artifact may be from PyTorch on the parity frames, on the scale [0, 1] and in dB, and why.

    ``block_error`` is of the mean of a block of 32 x 32 px, which the proof in the artifact keeps of the whole frame.
    The limits are some ten times what was measured (7e-7, 1e-4, 1e-3 and 1e-2 at 640x360).
    """

    max_error: float
    psnr: float
    block_error: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What a target tells of what it built.

    Attributes:
        details: read back from the result, for the manifest.
        tools: distributions whose versions decide the files.
    """

    details: dict[str, Any] = field(default_factory=dict)
    tools: tuple[str, ...] = ()


class Target(Protocol):
    """What the module of a target provides. Importing it imports nothing heavy."""

    BACKEND: str
    """Name in ``runtimes.registry.BACKENDS`` of what runs the artifact."""

    TOLERANCES: dict[Precision, Tolerance]
    """One row for each precision that the target has."""

    LACKING: dict[Precision, str]
    """Why it has no row for the others."""

    def missing(self) -> str:
        """Why the target cannot be built here, with the fix; empty when it can."""

    def check(self, options: ExportOptions) -> None:
        """Raise ExportError for options that this target does not have."""

    def rewrites(self, precision: Precision) -> tuple[str, ...]:
        """Names in ``export.rewrites.REWRITES``, in order."""

    def graph_precision(self, precision: Precision) -> Precision:
        """What the traced graph is written in: float32 where the target's own tools lower it."""

    def compile(self, model: onnx.ModelProto, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
        """Write the model files into ``folder`` and read back what was built."""


def target(name: str) -> Target:
    """The module of a target.

    Raises:
        ExportError: there is no such target.
    """
    if name not in TARGETS:
        raise ExportError(f"no target named {name!r}; there are {', '.join(TARGETS)} and all")
    return cast(Target, importlib.import_module(TARGETS[name]))


FP32_TOLERANCE = Tolerance(
    max_error=2e-4,
    psnr=80.0,
    block_error=2e-5,
    reason="float32 rounds sampling positions by about 1e-4 px, and the parity frames change by up to 0.3 a pixel",
)


FP16_TOLERANCE = Tolerance(
    max_error=0.05,
    psnr=60.0,
    block_error=2e-3,
    reason="half precision has 11 bits: flow deltas of 8 px are rounded by 0.004 px, features by 5e-4 of their size; "
    "single pixels beside occlusions choose another frame",
)

BF16_TOLERANCE = Tolerance(
    max_error=0.35,
    psnr=45.0,
    block_error=1e-2,
    reason="bfloat16 has 8 bits: flow deltas of 8 px are rounded by 0.03 px, features by 4e-3 of their size; "
    "single pixels beside occlusions choose another frame",
)


INT8_TOLERANCE = Tolerance(
    max_error=1.0,
    psnr=32.0,
    block_error=5e-2,
    reason="int8 has 8 bits for features; flow is float32, so nothing moves far. Pixels beside occlusions may choose "
    "another frame, which no limit on the largest error tells from a bug: the quality gate judges the whole",
)


def check_precisions(name: str, options: ExportOptions) -> None:
    """Refuse precisions that a target lacks.

    Raises:
        ExportError: naming those it has.
    """
    if reason := lacking(name, options.precisions):
        raise ExportError(f"target {name} {reason}")


def lacking(name: str, precisions: Sequence[Precision]) -> str:
    """Which of ``precisions`` a target lacks, why, and what it has; empty when it has all."""
    module = target(name)
    missing = [f"{p} ({module.LACKING[p]})" for p in precisions if p not in module.TOLERANCES]
    return f"has no {', no '.join(missing)}; it has {', '.join(module.TOLERANCES)}" if missing else ""
