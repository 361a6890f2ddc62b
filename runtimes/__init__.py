"""Run exported IFRNet artifacts, without PyTorch: one interface over all runtimes, ONNX Runtime to Core ML.

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
