"""The targets: an explicit table from name to module, and what each module provides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from export import (
    to_coreml,
    to_executorch,
    to_litert,
    to_mnn,
    to_ncnn,
    to_onnx,
    to_openvino,
    to_qnn,
    to_tensorrt,
    to_web,
)
from export.declarations import Compiled, Requirements, Tolerance
from export.errors import ExportError
from export.options import ExportOptions
from runtimes.contract import Precision

if TYPE_CHECKING:
    from export.source import Source


class Target(Protocol):
    """What the module of a target provides. Importing it imports nothing heavy."""

    REQUIRES: Requirements
    """Packages to build with, and the extra that brings each."""

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

    def compile(self, source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
        """Write the model files into ``folder`` and read back what was built.

        Args:
            source: the network with the rewrites of :meth:`rewrites`, in the precision of :meth:`graph_precision`.
        """


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "onnx": to_onnx,
        "web": to_web,
        "openvino": to_openvino,
        "ncnn": to_ncnn,
        "mnn": to_mnn,
        "litert": to_litert,
        "executorch": to_executorch,
        "trt": to_tensorrt,
        "coreml": to_coreml,
        "qnn": to_qnn,
    }
)
"""Target name -> module."""


def target(name: str) -> Target:
    """The module of a target.

    Raises:
        ExportError: there is no such target.
    """
    if name not in TARGETS:
        raise ExportError(f"no target named {name!r}; there are {', '.join(TARGETS)} and all")
    return TARGETS[name]


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
