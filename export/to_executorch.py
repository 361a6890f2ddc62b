"""Target ``executorch``: one ``.pte`` file for XNNPACK on a phone's CPU or Vulkan on its GPU, from ``torch.export``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from export import executorch_converter
from export.converter_process import run_logged
from export.declarations import FP16_TOLERANCE, FP32_TOLERANCE, INT8_TOLERANCE, Compiled, Requirements, first_missing
from export.errors import ExportError
from export.options import Delegate, ExportOptions
from runtimes.contract import Precision

if TYPE_CHECKING:
    from export.source import Source

REQUIRES: Requirements = {"executorch": "executorch"}
"""ExecuTorch converts and verifies, both in processes of their own."""

BACKEND = "executorch"

TOLERANCES = {
    Precision.FP32: FP32_TOLERANCE,
    Precision.FP16: FP16_TOLERANCE,
    Precision.INT8: replace(
        INT8_TOLERANCE,
        reason="features are rounded to 8 bits at a scale found for each tensor at run time; flow is float32. Pixels "
        "beside occlusions may choose another frame: the quality gate judges the whole",
    ),
}

LACKING = {Precision.BF16: "ExecuTorch hands no bfloat16 convolutions to XNNPACK"}

LACKING_ON_VULKAN = MappingProxyType(
    {
        Precision.FP16: "ExecuTorch's force_fp16 puts flow and sampling positions into half precision as well, which "
        "is off by half a pixel at 1080p",
        Precision.INT8: "nothing here runs it, and the quality gate has to",
    }
)

FILE = "model.pte"

TIMEOUT_S = 1800

VULKAN_REWRITES = ("split_resblock", "offset_grid", "joined_padding", "stepped_mean")
"""One frame after the other, and the grid sampler that Vulkan has: the whole network becomes one delegate."""


def missing() -> str:
    """Why it cannot be built here; empty when it can."""
    return first_missing(REQUIRES)


def check(options: ExportOptions) -> None:
    """Static sizes, and what the delegate has.

    Raises:
        ExportError: a dynamic artifact, or a precision that the delegate lacks.
    """
    if not options.sizes.is_static:
        raise ExportError(
            "target executorch has no --dynamic: its files plan the memory of one size of frame; export one --size each"
        )
    if options.delegate is Delegate.VULKAN:
        for precision in options.precisions:
            if reason := LACKING_ON_VULKAN.get(precision):
                raise ExportError(f"target executorch has no {precision} with --delegate vulkan ({reason})")


def rewrites(precision: Precision) -> tuple[str, ...]:
    """XNNPACK has no grid sampler: as look-ups, most of a warp is computed in its delegates, by all threads.

    At 320x180 on two threads that takes 0.8 of the time of ExecuTorch's portable grid samplers (212 and 268 ms at best
    on a busy machine; 124 and 126 ms of the processors), and one batch of two frames 0.93 of one after the other.

    In int8 flow enters and leaves a decoder apart from features, and the heads that give features are convolutions.
    With the delegate of Vulkan it is :data:`VULKAN_REWRITES`.
    """
    common = ("split_resblock", "batch_pair", "lookup_warp", "joined_padding", "stepped_mean")
    return (*common, "flow_apart", "subpixel_rest") if precision is Precision.INT8 else common


def graph_precision(precision: Precision) -> Precision:
    """INT8 starts from float32 and takes no scales of calibration.

    XNNPACK's convolutions at fixed scales give int8 as well, which needs scales of outputs and rounds what the residual
    additions and PReLU take: 31.5 dB at 160x96 with everything in int8, as ExecuTorch's own quantiser does it. With
    scales found at run time they give float32. (Its own also fails to load, "xnn_status_invalid_parameter", where the
    frames pass the encoder one after the other: two convolutions share a bias, which one of them wants in float32 and
    the other in int32. ExecuTorch 1.5.1; as a batch of two each convolution is there once.)
    """
    return Precision.FP32 if precision is Precision.INT8 else precision


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.pte`` and read it back.

    Raises:
        ExportError: ExecuTorch cannot convert the network.
        SentinelError: the file is not what was asked for.
    """
    from export.executorch_int8 import with_int8_convolutions
    from export.executorch_layers import File, check_file

    form = rewrites(precision)
    if options.delegate is Delegate.VULKAN:
        form = VULKAN_REWRITES
        source = source.reformed(form)
    if precision is Precision.INT8:
        source = with_int8_convolutions(source)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        found = convert(source, options.delegate, Path(scratch))
        file = File(
            **found,
            size=source.sizes.typical,
            scale=source.scale,
            precision=precision,
            delegate=options.delegate,
        )
        details = check_file(file)
        (Path(scratch) / FILE).rename(folder / FILE)
    return Compiled(details=details, tools=("executorch",), rewrites=form)


def convert(source: Source, delegate: Delegate, folder: Path) -> dict[str, Any]:
    """Write ``model.pte`` into ``folder``; returns what was read back from it.

    Raises:
        ExportError: the converter failed.
    """
    import torch

    program = folder / "program.pt2"
    torch.export.save(source.exported_program(), program)
    run_converter(program, delegate, folder)
    found: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return found


def run_converter(program: Path, delegate: Delegate, folder: Path) -> None:
    """Run ExecuTorch in a process of its own. What it prints is kept in a file, which goes when all is well.

    Raises:
        ExportError: with the last line that tells something, and where the rest is.
    """
    command = [sys.executable, "-P", str(executorch_converter.__file__), str(program), delegate, str(folder)]
    descriptor, name = tempfile.mkstemp(prefix="ifrnet-executorch-", suffix=".log")
    os.close(descriptor)
    run_logged(command, title="ExecuTorch's converter", log=Path(name), timeout_s=TIMEOUT_S, result=folder / FILE)
