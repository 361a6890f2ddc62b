"""Run exported IFRNet artifacts: one interface over ONNX Runtime, OpenVINO, ncnn, MNN and TensorRT, without PyTorch.

>>> with runtimes.load("artifacts/ifrnet_s-openvino-fp32-1280x720") as runtime:  # doctest: +SKIP
...     middle = runtime.interpolate(frame0, frame1)
"""

from runtimes.base import Runtime, Spec
from runtimes.errors import (
    ArtifactError,
    BackendError,
    FrameError,
    ParityError,
    ParityNotRunWarning,
    RuntimesError,
    TimestepError,
    VerdictWarning,
)
from runtimes.registry import load, verify

__all__ = [
    "ArtifactError",
    "BackendError",
    "FrameError",
    "ParityError",
    "ParityNotRunWarning",
    "Runtime",
    "RuntimesError",
    "Spec",
    "TimestepError",
    "VerdictWarning",
    "load",
    "verify",
]
