"""libifrnet, the C library that apps embed, as a backend: it runs the artifacts of target ncnn.

So the parity gate, the leaderboard and the video application try what runs on phones. ``make native`` builds it;
``$IFRNET_LIBRARY`` names another one.
"""

from __future__ import annotations

import functools
import os
import sys
import time
import weakref
from collections.abc import Iterator, Sequence
from ctypes import byref, c_size_t
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import MANIFEST, Artifact
from runtimes.backends.native_abi import Device as AbiDevice
from runtimes.backends.native_abi import File, Image, Info, Library, LibraryError, Options, pointer_to, rgb_image
from runtimes.backends.native_library import ForkGuard
from runtimes.base import Runtime
from runtimes.device import About, Device
from runtimes.frames import Array
from runtimes.tuning import Choices, Tuning

ABOUT = About(
    name="native",
    title="libifrnet",
    modules=(),
    distributions=(),
    extra="native",
    colour="#cc79a7",
    runs=("ncnn",),
)

_forks = ForkGuard("libifrnet")

PREFIX = f"{ABOUT.name}/"

DEFAULT_DEVICE = f"{PREFIX}cpu"

SETTINGS: Choices = {}

ALLOW_UNPROVEN = 2
"""``IFRNET_ALLOW``: this side judges."""

FILE_NAMES = {"darwin": "libifrnet.dylib", "win32": "ifrnet.dll"}


def library_path() -> Path:
    """Where the library is expected: ``$IFRNET_LIBRARY``, or what ``make native`` builds in a checkout."""
    if named := os.environ.get("IFRNET_LIBRARY"):
        return Path(named)
    name = FILE_NAMES.get(sys.platform, "libifrnet.so")
    return Path(__file__).parents[2] / "build" / "native" / "prefix" / "lib" / name


def missing() -> str:
    """Why the library cannot be used here; empty when it can."""
    path = library_path()
    if not path.is_file():
        return f"{path.name} is not there: make native builds it in a checkout, or set IFRNET_LIBRARY to where it is"
    try:
        library()
    except LibraryError as error:
        return f"{path} cannot be used ({error}): make native builds it anew"
    return ""


def library() -> Library:
    """The library, opened once. Raises LibraryError."""
    return _opened(library_path())


@functools.cache
def _opened(path: Path) -> Library:
    return Library(path)


def devices() -> Iterator[Device]:
    """As the library names them, behind ``native/``; the CPU without looking for others."""
    opened = library()
    yield Device(name=DEFAULT_DEVICE, description=f"libifrnet {opened.version}", versions=opened.versions)
    for found in _other_devices(opened):
        yield replace(found, versions=opened.versions)


def _other_devices(opened: Library) -> Iterator[Device]:
    count = c_size_t(16)
    found = (AbiDevice * count.value)()
    found[0].size = AbiDevice.size_of()
    opened.call("ifrnet_devices", found, byref(count))
    for item in found[: count.value]:
        if item.text("name") != "cpu":
            yield Device(
                name=PREFIX + item.text("name"),
                description=item.text("description"),
                reason=item.text("reason"),
                software=bool(item.software),
                driver=item.text("driver"),
            )


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Load the artifact from the bytes that were checked."""
    return NativeRuntime(artifact, device, tuning)


class NativeRuntime(Runtime):
    """A handle of the library."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        _forks.check()
        self._library = library()
        # Without the verdicts: the registry judges them, and lets a failed artifact be looked at.
        manifest = replace(artifact.manifest, parity=()).to_json().encode()
        contents = {MANIFEST: manifest, **artifact.contents}
        files = (File * len(contents))(*(File.of(name, data) for name, data in contents.items()))
        options = Options.of(device=device.removeprefix(PREFIX), threads=tuning.threads or 0, unproven=ALLOW_UNPROVEN)
        self._handle = self._library.open_memory(files, options)
        # Also where the runtime is dropped without being closed: the library's memory would stay.
        self._end = weakref.finalize(self, self._library.call, "ifrnet_close", self._handle)
        self._end.atexit = False
        info = self._library.describe(self._handle)
        super().__init__(
            artifact.manifest,
            backend=ABOUT.name,
            device=device,
            arithmetic=info.text("arithmetic"),
            tuning=replace(tuning, threads=info.threads),
        )

    @property
    def info(self) -> Info:
        """What the library says of itself and of this artifact."""
        return self._library.describe(self._handle)

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        return self._infer_all(img0, img1, t.reshape(-1))

    def _computed(
        self, img0: NDArray[np.float32], img1: NDArray[np.float32], steps: Sequence[NDArray[np.float32]]
    ) -> Iterator[Array]:
        """The library encodes a pair once for all t."""
        outputs = self._infer_all(img0, img1, np.concatenate([step.reshape(-1) for step in steps]))
        yield from np.split(outputs, len(steps))

    def _infer_all(
        self, img0: NDArray[np.float32], img1: NDArray[np.float32], steps: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(1, 3, H, W) twice and (T,) -> (T, 3, H, W)."""
        _forks.check()
        output = np.empty((len(steps), *img0.shape[1:]), np.float32)
        self._library.call(
            "ifrnet_infer",
            self._handle,
            *(pointer_to(x) for x in (img0, img1, steps)),
            c_size_t(len(steps)),
            pointer_to(output),
            c_size_t(output.size),
        )
        return output

    def _interpolate(self, img0: Array, img1: Array, steps: Sequence[float]) -> list[Array]:
        """Frames of 8 bits as they are; deeper ones through tensors."""
        if img0.dtype != np.uint8:
            return super()._interpolate(img0, img1, steps)
        _forks.check()
        start = time.perf_counter()
        frames = [np.ascontiguousarray(img) for img in (img0, img1)]
        outputs: list[Any] = [np.empty_like(frames[0]) for _ in steps]
        images = (Image * len(steps))(*map(rgb_image, outputs))
        self._library.call(
            "ifrnet_interpolate",
            self._handle,
            *(byref(rgb_image(frame)) for frame in frames),
            pointer_to(np.asarray(steps, np.float32)),
            c_size_t(len(steps)),
            images,
        )
        if self.on_inference is not None:
            for _ in steps:
                self.on_inference((time.perf_counter() - start) / len(steps))
        return outputs

    def _close(self) -> None:
        self._end()
