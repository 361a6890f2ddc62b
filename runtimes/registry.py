"""Which backends there are, which devices they have here, and why the rest is missing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from runtimes.artifact import Artifact, open_artifact
from runtimes.backends import ncnn, onnxruntime, openvino, tensorrt
from runtimes.base import Runtime
from runtimes.contract import Verdict
from runtimes.device import About, Device
from runtimes.errors import BackendError, ParityError, ParityNotRunWarning
from runtimes.tuning import Choices, Tuning, read_tuning


class Backend(Protocol):
    """What the module of a backend provides. Importing it imports no third-party package but numpy."""

    ABOUT: About
    DEFAULT_DEVICE: str

    def missing(self) -> str:
        """Why the backend cannot be used here, with the fix; empty when it can."""

    def devices(self) -> list[Device]:
        """Devices of an installed backend, usable or with the reason."""

    SETTINGS: Choices
    """What may be tuned for speed."""

    def open_runtime(self, artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
        """Load a checked artifact on one of :meth:`devices`."""


BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        "onnxruntime": onnxruntime,
        "openvino": openvino,
        "ncnn": ncnn,
        "tensorrt": tensorrt,
    }
)
"""Backend name -> module."""


def backend(name: str) -> Backend:
    """The module of a backend.

    Raises:
        BackendError: there is no such backend.
    """
    if name not in BACKENDS:
        raise BackendError(f"no backend named {name!r}; there are {', '.join(BACKENDS)}")
    return BACKENDS[name]


def load(
    path: str | os.PathLike[str],
    *,
    device: str | None = None,
    threads: int | None = None,
    tuned: bool = True,
    allow_failed: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Runtime:
    """Load an artifact onto a device. Never falls back to another device.

    Args:
        path: the artifact folder.
        device: for example ``cpu``, ``cuda:0``, ``vulkan:0``, ``gpu``; None is the CPU (``cuda:0`` for TensorRT).
        threads: CPU threads; None leaves it to the tuning, and without one to the backend.
        tuned: whether to run with the settings of ``python -m benchmarks tune``, where they lie beside the artifact
            and were found on this machine.
        allow_failed: load an artifact that failed parity on this device, for inspection.
        cache: folder in which OpenVINO keeps what it compiled, so that the next load does not compile. Its files are
            not checked: give a folder that nobody else can write to. The other backends have no use for it.

    Raises:
        ArtifactError: the folder is not a whole, unchanged artifact.
        BackendError: the backend or the device is missing.
        ParityError: the artifact failed parity on this device.

    Warns:
        ParityNotRunWarning: the artifact was never compared with PyTorch on this device.
    """
    artifact = open_artifact(path)
    manifest = artifact.manifest
    module = backend(manifest.backend)
    device = device or module.DEFAULT_DEVICE
    if threads is not None and not 1 <= threads <= 1024:
        raise BackendError(f"threads is {threads}; expected 1 to 1024, or None for the backend's default")
    if reason := module.missing():
        raise BackendError(reason)
    _check_device(manifest.backend, device, module.devices())
    record = manifest.parity_on(device)
    if record.verdict is Verdict.FAILED and not allow_failed:
        raise ParityError(
            f"{artifact.folder} failed parity on {device} ({record.reason}): export it again; "
            "allow_failed=True loads it all the same"
        )
    if record.verdict is Verdict.NOT_RUN:
        warnings.warn(
            f"{manifest.name}: parity not run on {device}: {record.reason}", ParityNotRunWarning, stacklevel=2
        )
    tuning = read_tuning(artifact.folder, module.ABOUT, device, module.SETTINGS) if tuned else Tuning()
    tuning = replace(tuning, cache=Path(cache) if cache else None)
    if threads is not None:
        tuning = replace(tuning, threads=threads)
    return module.open_runtime(artifact, device, tuning)


def _check_device(name: str, device: str, devices: list[Device]) -> None:
    found = {item.name: item for item in devices}
    if device not in found:
        raise BackendError(f"{name} has no device {device!r} here; there are {', '.join(found) or 'none'}")
    if found[device].reason:
        raise BackendError(f"{name} cannot use {device}: {found[device].reason}")
