"""What a target declares of itself, and what it tells of what it built."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """The packages that a target builds with.

    Attributes:
        modules: names that Python imports. Importing the module of the target imports none of them.
        extra: of this package, which installs them.
    """

    modules: tuple[str, ...]
    extra: str

    def missing(self) -> str:
        """The first that is not installed, with the fix; empty when all are there."""
        for name in self.modules:
            if importlib.util.find_spec(name) is None:
                return f"{name} is not installed: pip install 'ifrnet-export[{self.extra}]'"
        return ""


TOOLCHAIN = Requirements(modules=("torch", "safetensors", "onnx", "onnxscript", "onnxsim"), extra="export")
"""What every target builds with, besides its own."""


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What a target tells of what it built.

    Attributes:
        details: read back from the result, for the manifest.
        tools: distributions whose versions decide the files.
    """

    details: dict[str, Any] = field(default_factory=dict)
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an artifact may be from PyTorch on the parity frames, on the scale [0, 1] and in dB, and why."""

    max_error: float
    psnr: float
    reason: str


FP32_TOLERANCE = Tolerance(
    max_error=2e-4,
    psnr=80.0,
    reason="float32 rounds sampling positions by about 1e-4 px, and the parity frames change by up to 0.3 a pixel",
)

FP16_TOLERANCE = Tolerance(
    max_error=0.05,
    psnr=60.0,
    reason="half precision has 11 bits: flow deltas of 8 px are rounded by 0.004 px, features by 5e-4 of their size; "
    "single pixels beside occlusions choose another frame",
)

BF16_TOLERANCE = Tolerance(
    max_error=0.35,
    psnr=45.0,
    reason="bfloat16 has 8 bits: flow deltas of 8 px are rounded by 0.03 px, features by 4e-3 of their size; "
    "single pixels beside occlusions choose another frame",
)

INT8_TOLERANCE = Tolerance(
    max_error=1.0,
    psnr=32.0,
    reason="int8 has 8 bits for features; flow is float32, so nothing moves far. Pixels beside occlusions may choose "
    "another frame, which no limit on the largest error tells from a bug: the quality gate judges the whole",
)
