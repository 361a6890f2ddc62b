"""Runtimes without an artifact: what they say of themselves, and one that measures the harness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import DeviceParity, Manifest
from runtimes.base import Runtime
from runtimes.contract import MAX_SIDE, Precision, Size, SizeRange, Timesteps
from runtimes.environment import package_versions
from runtimes.frames import Array

ANY_SIZE = SizeRange(minimum=Size(1, 1), typical=Size(1280, 720), maximum=Size(MAX_SIDE, MAX_SIDE))


def manifest_without_files(
    name: str,
    *,
    backend: str,
    timesteps: Timesteps,
    variant: str = "",
    sha256: str = "",
    scale: float = 1.0,
    parity: tuple[DeviceParity, ...] = (),
) -> Manifest:
    """A manifest for something in float32 that has no files and takes every size."""
    return Manifest(
        name=name,
        target=backend,
        backend=backend,
        variant=variant,
        checkpoint={"name": name, "sha256": sha256},
        timesteps=timesteps,
        precision=Precision.FP32,
        sizes=ANY_SIZE,
        scale=scale,
        rewrites=(),
        tools=package_versions(("torch",)) if backend == "pytorch" else {},
        details={},
        files={},
        parity=parity,
    )


class Empty(Runtime):
    """Returns its first input: what is timed of it is the harness."""

    def __init__(self, timesteps: Timesteps) -> None:
        manifest = manifest_without_files("empty", backend="empty", timesteps=timesteps)
        super().__init__(manifest, backend="empty", device="cpu", arithmetic="none")

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        return img0
