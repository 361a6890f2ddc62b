"""Versions of what is installed, without importing it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

PACKAGES = (
    "ifrnet-export",
    "numpy",
    "torch",
    "onnx",
    "onnxscript",
    "onnxsim",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "nncf",
    "ncnn",
    "pnnx",
    "tensorrt",
    "tensorrt-rtx",
    "cuda-bindings",
)
"""Distributions whose versions decide what an artifact is and how it runs."""


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Distribution name -> version, of those among ``names`` that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
