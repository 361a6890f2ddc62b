"""Target ``mnn``: one file for MNN on phones and CPUs, from the ONNX."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export import mnn_converter
from export.converter_process import check_room, how_it_ended
from export.declarations import FP16_TOLERANCE, FP32_TOLERANCE, INT8_TOLERANCE, Compiled, Requirements, first_missing
from export.errors import ExportError
from export.mnn_layers import File, check_file
from export.options import ExportOptions
from runtimes.backends.mnn import PRECISION, WINOGRAD_LEVELS
from runtimes.contract import Precision
from runtimes.printable import MAX_REASON, one_line

if TYPE_CHECKING:
    from export.source import Source

REQUIRES: Requirements = {"MNN": "mnn"}
"""MNN converts and verifies."""

BACKEND = "mnn"

TOLERANCES = {
    Precision.FP32: FP32_TOLERANCE,
    Precision.FP16: replace(
        FP16_TOLERANCE,
        reason="weights are stored with 11 bits, and rounded by 2^-12 of their size; the rest is float32",
    ),
    Precision.INT8: replace(
        INT8_TOLERANCE, reason="weights have 8 bits, scale and zero for each output channel; the rest is float32"
    ),
}

LACKING = {Precision.BF16: "its files store no bfloat16, and its bfloat16 arithmetic would round flow as well"}

WEIGHTS = {Precision.FP32: "float32", Precision.FP16: "float16", Precision.INT8: "int8"}

TIMEOUT_S = 600


def missing() -> str:
    """Why it cannot be built here; empty when it can."""
    return first_missing(REQUIRES)


def check(options: ExportOptions) -> None:
    """Every option fits."""


def rewrites(precision: Precision) -> tuple[str, ...]:
    """One frame after the other: as one batch of two, 640x360 took 1.13 times as long, and with sub-pixel heads 1.2.

    Its Reduction over a frame is a long sum in float32, so the mean is taken in steps.
    """
    return ("split_resblock", "row_mean")


def graph_precision(precision: Precision) -> Precision:
    """Always float32: half precision and INT8 are how MNN stores weights, and it computes in float32 from them.

    Q/DQ is no way to int8 activations here: the converter drops the pairs. Its own form, with scales of ours for what
    goes in, needs scales for what comes out as well; it lost 0.10 to 0.22 dB (limit 0.1) and ran at 0.3 to 0.5 of
    float32's speed (MNN 3.6.1 on x86-64).
    """
    return Precision.FP32


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.mnn`` and read it back.

    Raises:
        ExportError: MNN's converter failed.
        SentinelError: the file is not what was asked for.
    """
    from export.trace import save

    weights = WEIGHTS[precision]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        model = Path(scratch) / "model.onnx"
        save(source.onnx, model)
        layers, rounded = convert(model, weights, Path(scratch))
        details = check_file(File(layers=layers, rounded=rounded, weights=weights, sizes=options.sizes))
        (Path(scratch) / "model.mnn").rename(folder / "model.mnn")
    details["hints"] = {"WINOGRAD_MEMORY_LEVEL": WINOGRAD_LEVELS[precision], "precision": PRECISION}
    return Compiled(details=details, tools=("onnx", "MNN"))


def convert(model: Path, weights: str, folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Run MNN's converter in a process of its own; returns the layers and rounded constants of its ``model.mnn``.

    Raises:
        ExportError: with the last line that it printed.
    """
    command = [sys.executable, "-P", str(mnn_converter.__file__), str(model), weights, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"MNN's converter did not end within {TIMEOUT_S} s: export a smaller size") from error
    check_room(folder)
    dump = folder / "model.json"
    if done.returncode != 0 or not dump.is_file():
        lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
        reason = one_line(" | ".join(lines[-2:]), MAX_REASON)
        raise ExportError(f"MNN's converter ended with {how_it_ended(done.returncode)}: {reason}")
    layers, rounded = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (dump.name, "rounded.json"))
    return layers["oplists"], rounded
