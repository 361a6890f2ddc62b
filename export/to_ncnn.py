"""Target ``ncnn``: ``.param`` and ``.bin`` for ncnn on CPUs and Vulkan, from the same ONNX through pnnx."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from export.declarations import BF16_TOLERANCE, FP16_TOLERANCE, FP32_TOLERANCE, Compiled, Requirements, first_missing
from export.errors import ExportError
from export.ncnn_layers import keep_float32, write_layers
from export.options import ExportOptions
from runtimes.backends.ncnn import INPUTS
from runtimes.backends.ncnn_layers import read_layers
from runtimes.contract import Precision, Size

if TYPE_CHECKING:
    import onnx

    from export.source import Source

REQUIRES: Requirements = {"pnnx": "export", "ncnn": "ncnn"}
"""pnnx converts, ncnn verifies."""

BACKEND = "ncnn"

TOLERANCES = {
    Precision.FP32: FP32_TOLERANCE,
    Precision.FP16: FP16_TOLERANCE,
    Precision.BF16: BF16_TOLERANCE,
}


LACKING = {
    Precision.INT8: "ncnn runs int8 convolutions only from tables of its own tools ncnn2table and ncnn2int8, which "
    "are in no wheel, and reads no Q/DQ",
}


def missing() -> str:
    """Why it cannot be built here; empty when it can."""
    return first_missing(REQUIRES)


def check(options: ExportOptions) -> None:
    """Static sizes only.

    Raises:
        ExportError: a dynamic artifact is asked for.
    """
    if not options.sizes.is_static:
        raise ExportError(
            "target ncnn has no --dynamic: with free sizes pnnx leaves layers that ncnn lacks; export one --size each"
        )


def rewrites(precision: Precision) -> tuple[str, ...]:
    """ncnn has no batch dimension, its deconvolution is fast, and its mean has to be taken in steps.

    With x and y of the flow apart, a quarter of the time went into packing single planes by rows and unpacking them
    (``benchmarks/results/tried.md``); :func:`export.rewrites.offset_grid` keeps them together.
    """
    return ("split_resblock", "offset_grid", "pooled_mean")


def graph_precision(precision: Precision) -> Precision:
    """pnnx reads no bfloat16 and leaves casts that ncnn lacks: it gets float32, and the island is marked after it."""
    return Precision.FP32 if precision in (Precision.FP16, Precision.BF16) else precision


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.param`` and ``model.bin``.

    Raises:
        ExportError: pnnx failed, or left an operator that ncnn does not have.
    """
    from pnnx import EXEC_PATH

    from export.trace import save

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path, model = Path(scratch) / "model.onnx", source.onnx
        save(model, path)
        half = precision is Precision.FP16  # pnnx stores half weights unless told otherwise
        command = [EXEC_PATH, path.name, f"inputshape={_shapes(model)}", f"fp16={half:d}"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        param, weights = (path.with_name(f"model.ncnn.{suffix}") for suffix in ("param", "bin"))
        if done.returncode != 0 or not param.is_file() or not weights.is_file():
            raise ExportError(f"pnnx failed with code {done.returncode}: {done.stderr.strip()[-400:]}")
        unknown = unknown_layers(param.read_text())
        if unknown:
            raise ExportError(f"pnnx left layers that ncnn does not have: {', '.join(unknown)}")
        text = state_sizes(param.read_text(), options.sizes.typical)
        if precision in (Precision.FP16, Precision.BF16):
            text = keep_float32(text)
        (folder / "model.param").write_text(text, encoding="ascii")
        weights.rename(folder / "model.bin")
    return Compiled(details={"weights": "float16" if half else "float32"}, tools=("onnx", "pnnx", "ncnn"))


def state_sizes(param: str, size: Size) -> str:
    """The same network whose input layers state the frames' width, height and channels, as ncnn's Input has them.

    ncnn takes frames of any size and would read and write beyond the blobs of another one; the runtime holds a manifest
    against what stands here.
    """
    hints = (f"0={size.width}", f"1={size.height}", "2=3")
    layers = (
        replace(layer, parameters=hints) if layer.kind == "Input" and layer.name in INPUTS[:2] else layer
        for layer in read_layers(param)
    )
    return write_layers(layers)


def _shapes(model: onnx.ModelProto) -> str:
    """pnnx's ``inputshape``: ``[1,3,720,1280]f32,...``."""
    shapes = ([dim.dim_value for dim in item.type.tensor_type.shape.dim] for item in model.graph.input)
    return ",".join(f"[{','.join(map(str, shape))}]f32" for shape in shapes)


def unknown_layers(param: str) -> list[str]:
    """Layer types of a ``.param`` text that pnnx passed through unconverted (they keep a dotted name)."""
    types = {line.split()[0] for line in param.splitlines()[2:] if line.strip()}
    return sorted(name for name in types if "." in name or name.startswith(("aten", "pnnx")))
