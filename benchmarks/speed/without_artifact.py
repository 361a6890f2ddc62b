"""Runtimes without an artifact: what they say of themselves, and two that measure the harness and the machine."""

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


class MatrixProduct(Runtime):
    """Multiplies two square float32 matrices in PyTorch, whatever the frames: what is timed of it is the machine.

    Args:
        threads: of the whole process.
    """

    SIDE = 2048
    """Of the matrices: 17 GFLOP, some 0.1 s on a slow machine."""

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._factors = torch.rand(2, self.SIDE, self.SIDE, generator=torch.Generator().manual_seed(0))
        manifest = manifest_without_files("matrix product", backend="matrix product", timesteps=Timesteps.ANY)
        super().__init__(manifest, backend="matrix product", device="cpu", arithmetic="fp32")

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        self._factors[0] @ self._factors[1]
        return img0

    @classmethod
    def gflop(cls) -> float:
        """Of one product, a multiply-add counted as two."""
        return 2e-9 * cls.SIDE**3
