"""A Q/DQ graph in ONNX Runtime on the CPU: every rounding that the graph states, in float32 between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Manifest
from runtimes.base import Runtime
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME
from runtimes.frames import Array


class Simulation(Runtime):
    """Stands for a device on which a frame takes minutes: against fp32 it is within 1 dB of the emulation.

    Args:
        manifest: of the artifact.
        model: the graph that it was compiled from, as an ONNX file.
    """

    def __init__(self, manifest: Manifest, model: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Its fusions would skip roundings.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        super().__init__(manifest, backend="onnxruntime", device="simulation", arithmetic="Q/DQ")

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        output: Array = self._session.run([OUTPUT_NAME], dict(zip(INPUT_NAMES, (img0, img1, t), strict=True)))[0]
        return output
