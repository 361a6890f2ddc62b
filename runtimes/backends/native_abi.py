"""The C ABI of ``runtimes/native/include/ifrnet.h`` for ctypes: structs, calls, and its statuses as exceptions."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_float, c_int32, c_size_t, c_ssize_t, c_uint32, c_void_p
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from runtimes.errors import ArtifactError, BackendError, FrameError, ParityError, RuntimesError, TimestepError

ABI = 1

STATUSES: Mapping[int, type[Exception]] = {
    1: RuntimesError,
    2: ArtifactError,
    3: BackendError,
    4: ParityError,
    5: FrameError,
    6: TimestepError,
    7: MemoryError,
    8: RuntimesError,
}
"""``ifrnet_status`` -> what it is here; any other is a bug of the library."""

RGB = 0


class LibraryError(Exception):
    """The library cannot be opened, or is of another ABI."""


class Sized(ctypes.Structure):
    """A struct that begins with its own size."""

    @classmethod
    def size_of(cls) -> int:
        """In bytes."""
        return ctypes.sizeof(cls)

    @classmethod
    def new(cls, **fields: Any) -> Self:
        """One with its size set and the rest zero but for ``fields``."""
        return cls(size=ctypes.sizeof(cls), **fields)

    def text(self, name: str) -> str:
        """A field of characters."""
        return getattr(self, name).decode("utf-8", "replace")


class Device(Sized):
    """``ifrnet_device``."""

    _fields_ = [
        ("size", c_uint32),
        ("name", c_char * 32),
        ("description", c_char * 128),
        ("driver", c_char * 64),
        ("reason", c_char * 128),
        ("software", c_int32),
    ]


class Options(Sized):
    """``ifrnet_options``."""

    _fields_ = [
        ("size", c_uint32),
        ("threads", c_int32),
        ("device", c_char_p),
        ("unproven", c_int32),
        ("precision", c_int32),
        ("cache", c_char_p),
    ]

    @classmethod
    def of(
        cls, *, device: str = "cpu", threads: int = 0, unproven: int = 0, precision: int = 0, cache: str = ""
    ) -> Self:
        """Options as text and numbers; an empty ``cache`` keeps nothing."""
        return cls.new(
            threads=threads, device=device.encode(), unproven=unproven, precision=precision, cache=cache.encode()
        )


class File(ctypes.Structure):
    """``ifrnet_file``."""

    _fields_ = [("name", c_char_p), ("data", c_char_p), ("bytes", c_size_t)]

    @classmethod
    def of(cls, name: str, data: bytes) -> Self:
        """A file in memory, which has to outlive this."""
        return cls(name.encode(), data, len(data))


class Info(Sized):
    """``ifrnet_info``."""

    _fields_ = [
        ("size", c_uint32),
        ("width", c_int32),
        ("height", c_int32),
        ("any_timestep", c_int32),
        ("proven", c_int32),
        ("threads", c_int32),
        ("name", c_char * 128),
        ("device", c_char * 32),
        ("precision", c_char * 16),
        ("arithmetic", c_char * 32),
        ("reason", c_char * 256),
        ("identity", c_char * 65),
        ("machine", c_char * 768),
    ]


class Image(Sized):
    """``ifrnet_image``."""

    _fields_ = [
        ("size", c_uint32),
        ("layout", c_int32),
        ("width", c_int32),
        ("height", c_int32),
        ("plane", c_void_p * 3),
        ("stride", c_ssize_t * 3),
        ("bytes", c_size_t * 3),
        ("matrix", c_int32),
        ("range", c_int32),
        ("chroma", c_int32),
    ]


class Comparison(Sized):
    """``ifrnet_comparison``."""

    _fields_ = [
        ("size", c_uint32),
        ("width", c_int32),
        ("height", c_int32),
        ("together", c_int32),
        ("t", c_float),
        ("max_error", c_double),
        ("psnr", c_double),
        ("block_error", c_double),
        ("trouble", c_char * 256),
    ]


def rgb_image(frame: NDArray[np.uint8]) -> Image:
    """A contiguous (H, W, 3) RGB frame, whose memory has to outlive this."""
    height, width, _ = frame.shape
    image = Image.new(layout=RGB, width=width, height=height)
    image.plane[0], image.stride[0], image.bytes[0] = frame.ctypes.data, 3 * width, frame.nbytes
    return image


def pointer_to(values: NDArray[np.float32]) -> Any:
    """Contiguous values, which have to outlive this."""
    return values.ctypes.data_as(POINTER(c_float))


class Library:
    """libifrnet, opened.

    Args:
        path: of the shared library.

    Raises:
        LibraryError: it cannot be opened, or has another ABI.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._functions: Any = ctypes.CDLL(str(path))
            found = self._functions.ifrnet_abi()
        except (OSError, AttributeError) as error:
            raise LibraryError(str(error)) from error
        if found != ABI:
            raise LibraryError(f"its ABI is {found}, this package has {ABI}")
        for name in ("ifrnet_version", "ifrnet_error"):
            getattr(self._functions, name).restype = c_char_p

    @property
    def version(self) -> str:
        """Of the library and of ncnn, for people: ``0.1.0, ncnn 1.0.20261020``."""
        return str(self._functions.ifrnet_version().decode())

    @property
    def versions(self) -> dict[str, str]:
        """The same by name, as verdicts hold it."""
        own, _, ncnn = self.version.partition(", ncnn ")
        return {"ifrnet": own, "ncnn": ncnn}

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status.

        Raises:
            RuntimesError: of the class that the status stands for, with the library's sentence.
            MemoryError: there is not enough.
            RuntimeError: a bug of the library.
        """
        status = getattr(self._functions, name)(*arguments)
        if status:
            message = self._functions.ifrnet_error().decode("utf-8", "replace")
            raise STATUSES.get(status, RuntimeError)(message)

    def open_memory(self, files: Any, options: Options) -> c_void_p:
        """A handle of an artifact whose files are in memory; raises as :meth:`call` does."""
        handle = c_void_p()
        self.call("ifrnet_open_memory", files, c_size_t(len(files)), byref(options), byref(handle))
        return handle

    def describe(self, handle: c_void_p) -> Info:
        """What the library says of an open artifact."""
        info = Info.new()
        self.call("ifrnet_describe", handle, byref(info))
        return info
