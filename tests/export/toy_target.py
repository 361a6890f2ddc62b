"""A target for the tests: what ``torch.export`` makes of the network, saved. It needs no ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export.declarations import FP32_TOLERANCE, Compiled, Requirements, first_missing
from export.options import ExportOptions
from runtimes.contract import Precision

if TYPE_CHECKING:
    from export.source import Source

REQUIRES: Requirements = {"torch": "export"}

BACKEND = "toy"

TOLERANCES = {Precision.FP32: FP32_TOLERANCE}

LACKING: dict[Precision, str] = {precision: "it is a toy" for precision in Precision if precision is not Precision.FP32}


def missing() -> str:
    """Why it cannot be built here; empty when it can."""
    return first_missing(REQUIRES)


def check(options: ExportOptions) -> None:
    """Every option fits."""


def rewrites(precision: Precision) -> tuple[str, ...]:
    """One, to have one."""
    return ("split_resblock",)


def graph_precision(precision: Precision) -> Precision:
    """What is saved is what runs."""
    return precision


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.pt2``."""
    import torch

    torch.export.save(source.exported_program(), folder / "model.pt2")
    return Compiled(details={"rewrites": list(source.rewrites)}, tools=("torch",))
