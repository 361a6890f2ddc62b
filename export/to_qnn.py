"""Target ``qnn``: a context binary for the NPU of Qualcomm's chips, compiled ahead of time."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from export import qnn_compiler
from export.converter_process import check_room, how_it_ended
from export.declarations import FP16_TOLERANCE, INT8_TOLERANCE, Compiled, Requirements
from export.errors import ExportError
from export.options import ExportOptions
from export.qnn_socs import FIRST_FP16, Soc, soc
from runtimes.backends import qnn
from runtimes.contract import Precision
from runtimes.printable import MAX_REASON, one_line

if TYPE_CHECKING:
    from export.source import Source

REQUIRES: Requirements = {"onnxruntime_qnn": "qnn"}
"""The plugin holds the compiler and the emulation."""

BACKEND = "qnn"

TOLERANCES = {
    Precision.FP16: replace(
        FP16_TOLERANCE,
        reason="half precision has 11 bits for features, and for what heads give; flow, positions and warps have 16",
    ),
    Precision.INT8: replace(
        INT8_TOLERANCE, reason="8 bits for features and weights, 16 for flow, positions, warps and blending"
    ),
}

LACKING = {
    Precision.FP32: "its NPU has no float32, and would compute in half precision, flow and positions as well",
    Precision.BF16: "the NPU has no bfloat16",
}

TIMEOUT_S = 3600

LOG = "qnn-compiler.log"
"""What a compiler that failed printed, in the folder of the artifacts."""


def missing() -> str:
    """Why it cannot be built here; empty when it can."""
    return qnn.missing()


def check(options: ExportOptions) -> None:
    """One size, and a chip that has what is asked for.

    Raises:
        ExportError: sizes are free, nobody knows the chip, or it has no half precision.
    """
    if not options.sizes.is_static:
        raise ExportError(
            "target qnn has no --dynamic: the compiler lays out memory of the NPU for one size; export one --size each"
        )
    chip = soc(options.soc)
    if Precision.FP16 in options.precisions and chip.arch < FIRST_FP16:
        raise ExportError(
            f"--soc {options.soc} ({chip.part}, Hexagon V{chip.arch}) has no half precision, which begins with "
            f"V{FIRST_FP16}: pass --int8"
        )


def rewrites(precision: Precision) -> tuple[str, ...]:
    """One frame after the other, flow in tensors of its own, which have steps of their own; the mean row by row."""
    return ("split_resblock", "heads_apart", "offset_grid", "row_mean")


def graph_precision(precision: Precision) -> Precision:
    """Always float32: Q/DQ is put in here, of 16 bits as well, and float becomes half precision on the NPU."""
    return Precision.FP32


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.onnx``, a context binary in ONNX Runtime's wrapper, and read it back.

    Raises:
        ExportError: the compiler failed, or left a part of the network to the processor.
        SentinelError: the file is not what was asked for.
    """
    import onnx

    from export.qnn_file import Built, check_file
    from export.qnn_plan import Form, Graph, plan
    from export.qnn_quantize import quantize
    from export.qnn_ranges import PAIRS, Ranges, calibration_feeds, observe
    from export.trace import save

    form = Form.ISLAND if precision is Precision.FP16 else Form.MIXED
    size, chip = source.sizes.typical, soc(options.soc)
    graph = Graph(model=source.onnx)
    seen = observe(graph.model, calibration_feeds(size, source.timesteps))
    ranges = Ranges(graph, seen, width=size.width, form=form)
    quantized = quantize(graph, plan(graph, form), ranges)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        model, out = Path(scratch) / "quantized.onnx", Path(scratch) / "model.onnx"
        save(quantized, model)
        run_compiler(model, out, chip, log=options.out / LOG)
        file = onnx.load(str(out))
    built = Built(graph=graph, quantized=quantized, file=file, form=form, soc=chip, size=size)
    details = check_file(built)
    (folder / "model.onnx").write_bytes(file.SerializeToString(deterministic=True))
    details |= {
        "soc": options.soc,
        "flow_limit_px": round(ranges.flow_limit(size.width), 1),
        "calibration": {"source": "shipped clip", "pairs": PAIRS, "frames": str(size)},
    }
    simulation = quantized.SerializeToString() if precision is Precision.INT8 else b""
    return Compiled(details=details, tools=("onnx", "onnxruntime", "onnxruntime-qnn"), simulation=simulation)


def run_compiler(model: Path, out: Path, chip: Soc, *, log: Path) -> None:
    """Run the compiler in a process of its own.

    Args:
        model: ONNX file.
        out: the file to write.
        chip: what it is for.
        log: where to keep what a compiler that fails prints.

    Raises:
        ExportError: with the last useful line that it printed.
    """
    script, numbers = str(qnn_compiler.__file__), ["--arch", str(chip.arch), "--soc", str(chip.model)]
    command = [sys.executable, "-P", script, str(model), str(out), *numbers]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"Qualcomm's compiler did not end within {TIMEOUT_S} s: export a smaller size") from error
    check_room(out.parent)
    if done.returncode == 0 and out.is_file():
        return
    printed = done.stdout + "\n" + done.stderr
    log.write_text(printed, encoding="utf-8")
    ended, reason = how_it_ended(done.returncode), useful_line(printed)
    raise ExportError(f"Qualcomm's compiler ended with {ended}: {reason} (all that it printed: {log})")


def useful_line(printed: str) -> str:
    """The last line that says something: an error, else the last of all."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"error|fail", line, re.IGNORECASE) and "warning" not in line.lower()]
    if any("fallback to CPU EP has been explicitly disabled" in line for line in errors):
        return "the NPU does not take the whole network, and nothing may run on the processor"
    return one_line((errors or lines or ["it printed nothing"])[-1], MAX_REASON)
