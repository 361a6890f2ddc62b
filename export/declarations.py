"""What a target declares of itself, and what it tells of what it built."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Requirements = Mapping[str, str]
"""Packages that a target builds with, by the name that Python imports -> the extra of this package that brings each.
Importing the module of the target imports none of them."""

TOOLCHAIN: Requirements = MappingProxyType(
    dict.fromkeys(("torch", "safetensors", "onnx", "onnxscript", "onnxsim"), "export")
)
"""What every target builds with, besides its own."""


def first_missing(requires: Requirements) -> str:
    """The first package that is not installed, with the fix; empty when all are there."""
    for name, extra in requires.items():
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed: pip install 'ifrnet-export[{extra}]'"
    return ""


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What a target tells of what it built.

    Attributes:
        details: read back from the result, for the manifest.
        tools: distributions whose versions decide the files.
        rewrites: of the form that was built, where an option of the target decided it; None for the target's own.
        simulation: where a frame takes minutes in an emulation, the ONNX graph that the files were compiled from: the
            quality gate of INT8 runs it in ONNX Runtime on the CPU. Not a part of the artifact.
    """

    details: dict[str, Any] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    rewrites: tuple[str, ...] | None = None
    simulation: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an artifact may be from PyTorch on the parity frames, on the scale [0, 1] and in dB, and why.

    ``block_error`` and ``block_roundings`` are of the means of blocks of 32 x 32 px, which the proof in the artifact
    keeps of the whole frame. The limit is the first, or so many times the largest difference that PyTorch's own blocks
    show when its convolutions are rounded to bfloat16, whichever is more. The larger a frame, the more blocks lie
    within an occlusion, where the network has to choose (5e-3 at 1280x720, 6e-2 at 3840x2160). Measured at 1280x720:
    2e-6 in fp32, 2e-4 in fp16, 1.4e-2 in bf16, 0.12 in int8.
    """

    max_error: float
    psnr: float
    block_error: float
    block_roundings: float
    reason: str


FP32_TOLERANCE = Tolerance(
    max_error=2e-4,
    psnr=80.0,
    block_error=2e-5,
    block_roundings=0.01,
    reason="float32 rounds sampling positions by about 1e-4 px, and the parity frames change by up to 0.3 a pixel",
)

FP16_TOLERANCE = Tolerance(
    max_error=0.05,
    psnr=60.0,
    block_error=1e-2,
    block_roundings=1.0,
    reason="half precision has 11 bits: flow deltas of 8 px are rounded by 0.004 px, features by 5e-4 of their size; "
    "single pixels beside occlusions choose another frame",
)

BF16_TOLERANCE = Tolerance(
    max_error=0.35,
    psnr=45.0,
    block_error=1e-2,
    block_roundings=4.0,
    reason="bfloat16 has 8 bits: flow deltas of 8 px are rounded by 0.03 px, features by 4e-3 of their size; "
    "single pixels beside occlusions choose another frame",
)

INT8_TOLERANCE = Tolerance(
    max_error=1.0,
    psnr=32.0,
    block_error=0.5,
    block_roundings=64.0,
    reason="int8 has 8 bits for features; flow is float32, so nothing moves far. Pixels beside occlusions may choose "
    "another frame, which no limit on the largest error tells from a bug: the quality gate judges the whole",
)
