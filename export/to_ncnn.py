"""Target ``ncnn``: ``.param`` and ``.bin`` for ncnn on CPUs and Vulkan, from the same ONNX through pnnx."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.converter_process import check_room
from export.declarations import (
    BF16_TOLERANCE,
    FP16_TOLERANCE,
    FP32_TOLERANCE,
    INT8_TOLERANCE,
    Compiled,
    Requirements,
    first_missing,
)
from export.errors import ExportError
from export.ncnn_layers import keep_float32, write_layers
from export.options import ExportOptions
from runtimes.backends.ncnn import INPUTS
from runtimes.backends.ncnn_layers import read_layers
from runtimes.backends.ncnn_options import DETAIL, options_of
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
    Precision.INT8: INT8_TOLERANCE,
}

LACKING: dict[Precision, str] = {}


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

    In int8 flow enters a decoder apart from features, which have scales of their own. Of the heads, those that give
    features are convolutions, for ncnn has no deconvolution in int8; those that give flow stay in float, where the
    deconvolution is 5 % of the whole time faster.

    With x and y of the flow apart, a quarter of the time went into packing single planes by rows and unpacking them
    (``benchmarks/results/tried.md``); :func:`export.rewrites.offset_grid` keeps them together.
    """
    if precision is Precision.INT8:
        return ("split_resblock", "flow_apart", "subpixel_rest", "offset_grid", "pooled_mean")
    return ("split_resblock", "offset_grid", "pooled_mean")


def graph_precision(precision: Precision) -> Precision:
    """pnnx reads no bfloat16 and leaves casts that ncnn lacks: it gets float32, and the island is marked after it."""
    return Precision.FP32 if precision in (Precision.FP16, Precision.BF16) else precision


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.param`` and ``model.bin``; in int8, run them and read back what ran in int8.

    Raises:
        ExportError: pnnx failed, or left an operator that ncnn does not have.
        SentinelError: ncnn runs a layer in float that is to be int8.
    """
    from export.ncnn_int8 import without_quantization, write_int8
    from export.ncnn_running import int8_layers

    int8 = precision is Precision.INT8
    model, quantized = without_quantization(source.onnx) if int8 else (source.onnx, [])
    half = precision is Precision.FP16  # pnnx stores half weights unless told otherwise
    text, weights = _convert(model, folder, half=half)
    text = state_sizes(text, options.sizes.typical)
    if precision in (Precision.FP16, Precision.BF16):
        text = keep_float32(text)
    if int8:
        text, weights = write_int8(text, weights, quantized)
    (folder / "model.param").write_text(text, encoding="ascii")
    (folder / "model.bin").write_bytes(weights)
    stored = {Precision.FP16: "float16", Precision.INT8: "int8"}.get(precision, "float32")
    details: dict[str, Any] = {"weights": stored, DETAIL: options_of(precision)}
    if int8:
        details["int8_layers"] = int8_layers(folder, quantized, options.sizes.typical, details[DETAIL])
    return Compiled(details=details, tools=("onnx", "pnnx", "ncnn"))


def _convert(model: onnx.ModelProto, folder: Path, *, half: bool) -> tuple[str, bytes]:
    """What pnnx makes of a graph: the text of the ``.param`` and the bytes of the ``.bin``."""
    from pnnx import EXEC_PATH

    from export.trace import save

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / "model.onnx"
        save(model, path)
        command = [EXEC_PATH, path.name, f"inputshape={_shapes(model)}", f"fp16={half:d}"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        check_room(Path(scratch))
        param, weights = (path.with_name(f"model.ncnn.{suffix}") for suffix in ("param", "bin"))
        if done.returncode != 0 or not param.is_file() or not weights.is_file():
            raise ExportError(f"pnnx failed with code {done.returncode}: {done.stderr.strip()[-400:]}")
        text = param.read_text(encoding="ascii")
        if unknown := unknown_layers(text):
            raise ExportError(f"pnnx left layers that ncnn does not have: {', '.join(unknown)}")
        return text, weights.read_bytes()


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
