"""Target ``openvino``: IR that is compiled on the device that runs it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import onnx

from export.options import ExportOptions
from export.targets import FP32_TOLERANCE, Compiled
from runtimes.contract import Precision
from runtimes.ov import HINTS

BACKEND = "openvino"

TOLERANCES = {Precision.FP32: FP32_TOLERANCE}


def missing() -> str:
    """OpenVINO reads the ONNX and writes the IR."""
    if importlib.util.find_spec("openvino") is None:
        return "openvino is not installed: pip install 'ifrnet-export[openvino]'"
    return ""


def check(options: ExportOptions) -> None:
    """Every option fits."""


def rewrites(precision: Precision) -> tuple[str, ...]:
    """Its float ConvTranspose is slower than 2.25 times the work as a convolution (728 against 822 ms at 1280x720);
    its ReduceMean over a frame is as inexact as ONNX Runtime's (8e-4 in the output at 1278x718)."""
    return ("split_resblock", "batch_pair", "row_mean", "subpixel_deconv")


def compile(model: onnx.ModelProto, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.xml`` and ``model.bin``."""
    import openvino

    ir = openvino.Core().read_model(model.SerializeToString())
    openvino.save_model(ir, folder / "model.xml", compress_to_fp16=False)
    return Compiled(details={"inference_precision": HINTS[precision]}, tools=("onnx", "openvino"))
