"""Run as a process of its own, in the environment of the target litert: what LiteRT's own packages do.

They print pages and ask for versions that do not go with ours. Nothing of this project is imported here.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any


def convert(program: Path, result: Path) -> None:
    """A saved ``torch.export`` program to a float32 ``.tflite``."""
    import litert_torch
    import torch

    saved = torch.export.load(program)
    arguments, _ = saved.example_inputs
    litert_torch.convert(saved.module(), arguments).export(str(result))


def quantize(model: Path, plan: Path, result: Path) -> None:
    """A float32 ``.tflite`` with its convolutions stored otherwise.

    The plan is JSON: ``{"int8": [names], "ranges": {tensor: [least, largest]}}`` makes those convolutions int8 whose
    outputs have these names, and stores the weights of all others in half precision. ``{}`` stores all of them so.
    """
    from ai_edge_quantizer import quantizer

    wanted = json.loads(plan.read_text(encoding="utf-8"))
    worker = quantizer.Quantizer(str(model))
    _store_float16(worker)
    ranges = None
    if wanted:
        _make_int8(worker, wanted["int8"])
        ranges = {name: _statistics(*values) for name, values in wanted["ranges"].items()}
    done = worker.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    result.write_bytes(done.quantized_model)


def _store_float16(worker: Any) -> None:
    from ai_edge_quantizer import qtyping

    half = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    for kind in _convolutions():
        worker.update_quantization_recipe(".*", kind, half, algorithm_key="float_casting")


def _make_int8(worker: Any, names: list[str]) -> None:
    pattern = "^(" + "|".join(re.escape(name) for name in names) + ")(;|$)"  # a scope is every output and a semicolon
    for kind in _convolutions():
        worker.add_static_config(pattern, kind, activation_num_bits=8, weight_num_bits=8)


def _convolutions() -> tuple[Any, ...]:
    from ai_edge_quantizer import qtyping

    return qtyping.TFLOperationName.CONV_2D, qtyping.TFLOperationName.CONV_2D_TRANSPOSE


def _statistics(least: float, largest: float) -> dict[str, Any]:
    """What the quantiser's own calibration finds of a tensor."""
    import numpy as np

    return {"min": np.full((1, 1, 1, 1), least, np.float32), "max": np.full((1, 1, 1, 1), largest, np.float32)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name, arguments in (("convert", ("program", "result")), ("quantize", ("model", "plan", "result"))):
        command = commands.add_parser(name)
        for argument in arguments:
            command.add_argument(argument, type=Path)
    given = parser.parse_args()
    if given.command == "convert":
        convert(given.program, given.result)
    else:
        quantize(given.model, given.plan, given.result)


if __name__ == "__main__":
    main()
