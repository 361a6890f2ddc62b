"""Target ``litert``: one ``.tflite`` file for LiteRT on phones and CPUs, from ``torch.export``."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export import environments, litert_converter
from export.declarations import FP16_TOLERANCE, FP32_TOLERANCE, INT8_TOLERANCE, Compiled, Requirements, first_missing
from export.errors import ExportError
from export.options import ExportOptions
from runtimes.contract import Precision

if TYPE_CHECKING:
    from export.source import Source

REQUIRES: Requirements = {"ai_edge_litert": "litert"}
"""It knows the format and verifies; what converts is in an environment of its own."""

BACKEND = "litert"

ENVIRONMENT = "litert"

TOLERANCES = {
    Precision.FP32: FP32_TOLERANCE,
    Precision.FP16: replace(
        FP16_TOLERANCE,
        reason="weights are stored with 11 bits, and rounded by 2^-12 of their size; the rest is float32",
    ),
    Precision.INT8: INT8_TOLERANCE,
}

LACKING = {Precision.BF16: "its quantiser stores no bfloat16"}

MAKERS = ("litert-torch", "litert-converter", "ai-edge-quantizer", "torch")
"""Packages of the environment that decide the file."""

FILE = "model.tflite"

TIMEOUT_S = 1800


def missing() -> str:
    """Why it cannot be built here; empty when it can."""
    return first_missing(REQUIRES) or environments.missing(ENVIRONMENT)


def check(options: ExportOptions) -> None:
    """Static sizes only.

    Raises:
        ExportError: a dynamic artifact is asked for.
    """
    if not options.sizes.is_static:
        raise ExportError(
            "target litert has no --dynamic: tables and row numbers of its warps are for one size of frame; export one "
            "--size each"
        )


def rewrites(precision: Precision) -> tuple[str, ...]:
    """LiteRT has no grid sampler, and its mean is one long sum.

    In int8 flow enters and leaves a decoder apart from features; heads that give features stay transposed convolutions,
    which LiteRT has in int8: 0.69 of the time of sub-pixel ones.
    """
    common = ("split_resblock", "batch_pair", "lookup_warp", "joined_padding", "stepped_mean")
    return (*common, "flow_apart") if precision is Precision.INT8 else common


def graph_precision(precision: Precision) -> Precision:
    """Half precision is how LiteRT stores weights, and it computes in float32 from them."""
    return Precision.INT8 if precision is Precision.INT8 else Precision.FP32


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.tflite`` and read it back.

    Raises:
        CalibrationError: the scales are of another network.
        ExportError: a converter failed.
        SentinelError: the file is not what was asked for.
    """
    from export.litert_file import File
    from export.litert_layers import Wanted, check_file

    (folder / FILE).write_bytes(convert(source, precision))
    wanted = Wanted(precision=precision, size=source.sizes.typical, scales=source.scales)
    details = check_file(File((folder / FILE).read_bytes()), wanted)
    if precision is Precision.INT8:
        details["outputs"] = "int8 convolutions give int8: ranges that PyTorch saw on the shipped clip"
    details["converter"] = {
        name: version for name, version in environments.versions(ENVIRONMENT).items() if name in MAKERS
    }
    return Compiled(details=details, tools=("ai-edge-litert",))


def convert(source: Source, precision: Precision) -> bytes:
    """The file, made in the environment. Raises ExportError when it cannot be had."""
    import torch

    from export.int8.output_ranges import convolutions
    from export.litert_file import File, put_in_order
    from export.litert_int8 import kernels, plan

    with tempfile.TemporaryDirectory() as scratch:
        program, plain, model = (Path(scratch) / name for name in ("program.pt2", "plain.tflite", FILE))
        torch.export.save(source.exported_program(), program)
        run("convert", program, plain)
        ordered = put_in_order(plain.read_bytes(), kernels(convolutions(source)))
        if precision is Precision.FP32:
            return ordered
        wanted: dict[str, Any] = plan(source, File(ordered)) if precision is Precision.INT8 else {}
        plain.write_bytes(ordered)
        (Path(scratch) / "plan.json").write_text(json.dumps(wanted), encoding="utf-8")
        run("quantize", plain, Path(scratch) / "plan.json", model)
        return File(model.read_bytes()).data()


def run(command: str, *arguments: Path) -> None:
    """One command of ``export.litert_converter``; the last argument is the file that it writes.

    Raises:
        ExportError: with its last useful line, or naming the file that it did not write.
    """
    script = Path(str(litert_converter.__file__))
    # Two exports at a time have a log each.
    log = environments.folder(ENVIRONMENT).with_name(f"{ENVIRONMENT}-{command}-{os.getpid()}.log")
    environments.run(ENVIRONMENT, script, command, *arguments, log=log, timeout_s=TIMEOUT_S)
    if not arguments[-1].is_file():
        raise ExportError(f"the {ENVIRONMENT} converter ended well and wrote no {arguments[-1].name}")
