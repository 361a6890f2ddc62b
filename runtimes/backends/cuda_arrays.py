"""Frames that lie on a GPU already, as any package hands them over: the CUDA Array Interface.

PyTorch, CuPy, Numba, JAX and RAPIDS implement it. Source: Numba documentation, "CUDA Array Interface (Version 3)".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from runtimes.contract import Size
from runtimes.errors import FrameError

ALIGNMENT = 256
"""Bytes; what TensorRT asks of the address of a tensor."""


@dataclass(frozen=True, kw_only=True)
class CudaArray:
    """float32 on a device, C-contiguous.

    Attributes:
        pointer: device address.
        shape: of the array.
        stream: handle of the CUDA stream on which the owner may still be writing; None for none.
    """

    pointer: int
    shape: tuple[int, ...]
    stream: int | None


def read_cuda_array(name: str, value: Any) -> CudaArray:
    """What ``value.__cuda_array_interface__`` says; ``name`` is for messages.

    Raises:
        FrameError: there is none, or it is not float32, C-contiguous, aligned to :data:`ALIGNMENT` bytes and complete.
    """
    interface = getattr(value, "__cuda_array_interface__", None)
    if not isinstance(interface, dict):
        raise FrameError(
            f"{name} is {type(value).__name__}; expected an array on the GPU (__cuda_array_interface__: PyTorch, CuPy, "
            "Numba, ...); arrays of numpy go to infer()"
        )
    shape = tuple(int(side) for side in interface["shape"])
    if interface["typestr"] != "<f4":
        raise FrameError(f"{name} is {interface['typestr']}; expected float32 (<f4)")
    strides = interface.get("strides")
    if interface.get("mask") is not None or not (strides is None or _packed(shape, tuple(strides))):
        raise FrameError(f"{name} of shape {shape} is not C-contiguous (strides {strides}); make it contiguous first")
    pointer = int(interface["data"][0])
    if pointer == 0 or pointer % ALIGNMENT:
        raise FrameError(
            f"{name} is at {pointer:#x}; expected an address aligned to {ALIGNMENT} bytes: "
            "copy a piece of a larger array to its own"
        )
    return CudaArray(pointer=pointer, shape=shape, stream=interface.get("stream"))


def check_cuda_frames(img0: CudaArray, img1: CudaArray, out: CudaArray) -> Size:
    """Check that all three are (1, 3, H, W), and that the output is none of the inputs.

    Raises:
        FrameError: anything else.
    """
    shapes = (img0.shape, img1.shape, out.shape)
    if len(img0.shape) != 4 or img0.shape[:2] != (1, 3) or 0 in img0.shape or len(set(shapes)) != 1:
        raise FrameError(f"img0, img1 and out have shapes {shapes}; expected (1, 3, H, W) three times")
    if any(abs(out.pointer - x.pointer) < 4 * math.prod(x.shape) for x in (img0, img1)):
        raise FrameError("out overlaps img0 or img1; expected memory of its own")
    return Size(img0.shape[3], img0.shape[2])


def _packed(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether strides in bytes are those of a C-contiguous array of float32."""
    expected = tuple(4 * math.prod(shape[i + 1 :]) for i in range(len(shape)))
    return all(side == 1 or have == want for side, have, want in zip(shape, strides, expected, strict=True))
