"""Which backends there are, which devices they have here, and why the rest is missing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from runtimes.artifact import Artifact, open_artifact
from runtimes.backends import coreml, mnn, native, ncnn, onnxruntime, openvino, tensorrt
from runtimes.base import Runtime
from runtimes.contract import Verdict
from runtimes.device import About, Device
from runtimes.errors import BackendError, ParityError, ParityNotRunWarning
from runtimes.machine import Machine
from runtimes.tuning import Choices, Tuning, read_tuning
from runtimes.verdicts import Belief, Conditions, Record, believed, prove


class Backend(Protocol):
    """What the module of a backend provides. Importing it imports no third-party package but numpy."""

    ABOUT: About
    DEFAULT_DEVICE: str

    def missing(self) -> str:
        """Why the backend cannot be used here, with the fix; empty when it can."""

    def devices(self) -> Iterable[Device]:
        """Devices of an installed backend, usable or with the reason; those that cost something to find come last."""

    SETTINGS: Choices
    """What may be tuned for speed."""

    def open_runtime(self, artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
        """Load a checked artifact on one of :meth:`devices`."""


BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        "onnxruntime": onnxruntime,
        "openvino": openvino,
        "ncnn": ncnn,
        "native": native,
        "mnn": mnn,
        "tensorrt": tensorrt,
        "coreml": coreml,
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


def runners(name: str) -> tuple[Backend, ...]:
    """The backend that artifacts were made for, then those that run them as well.

    Raises:
        BackendError: there is no such backend.
    """
    return (backend(name), *(module for module in BACKENDS.values() if name in module.ABOUT.runs))


def runner(name: str, device: str | None) -> Backend:
    """The one of :func:`runners` that a device belongs to: ``native/cpu`` is one of ``native``.

    Raises:
        BackendError: there is no such backend.
    """
    prefix = (device or "").rpartition("/")[0]
    return next((module for module in runners(name) if module.ABOUT.name == prefix), backend(name))


def load(
    path: str | os.PathLike[str],
    *,
    device: str | None = None,
    threads: int | None = None,
    tuned: bool = True,
    verify: bool = False,
    allow_failed: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Runtime:
    """Load an artifact onto a device. Never falls back to another device.

    A verdict is believed where it was won: on the same kind of device, in the same arithmetic, with the same
    instruction sets (of a CPU) or on the same model (of a GPU). Elsewhere the artifact counts as never compared.

    Args:
        path: the artifact folder.
        device: for example ``cpu``, ``cuda:0``, ``vulkan:0``, ``gpu``; None is the CPU (``cuda:0`` for TensorRT).
            ``native/cpu`` and ``native/vulkan:0`` run artifacts of ncnn in the C library.
        threads: CPU threads; None leaves it to the tuning, and without one to the backend.
        tuned: whether to run with the settings of ``python -m benchmarks tune``, where they lie beside the artifact
            and were found on this machine.
        verify: run the artifact's proof here, once: the outcome is remembered beside the artifact.
        allow_failed: load an artifact that failed on this device, for inspection.
        cache: folder in which OpenVINO keeps what it compiled, so that the next load does not compile. Its files are
            not checked: give a folder that nobody else can write to. The other backends have no use for it.

    Raises:
        ArtifactError: the folder is not a whole, unchanged artifact; or ``verify`` is asked for and it has no proof.
        BackendError: the backend or the device is missing.
        ParityError: the artifact failed on this device.
        OSError: the outcome of ``verify`` can be kept nowhere.

    Warns:
        ParityNotRunWarning: the artifact was never compared with PyTorch on such a device, in such arithmetic.
        VerdictWarning: it was, with another version of the backend; or a file of verdicts is damaged.
    """
    artifact = open_artifact(path)
    module, found = _find(artifact, device)
    if threads is not None and not (type(threads) is int and 1 <= threads <= 1024):
        raise BackendError(f"threads is {threads!r}; expected 1 to 1024, or None for the backend's default")
    tuning = read_tuning(artifact.folder, module.ABOUT, found.name, module.SETTINGS) if tuned else Tuning()
    tuning = replace(tuning, cache=Path(cache) if cache else None)
    if threads is not None:
        tuning = replace(tuning, threads=threads)
    runtime = module.open_runtime(artifact, found.name, tuning)
    try:
        belief = _believed(artifact, runtime, found, Machine.here(module.ABOUT, found), verify=verify)
        if belief.verdict is Verdict.FAILED and not allow_failed:
            raise ParityError(
                f"{artifact.folder} failed parity on {found.name} ({belief.reason}): export it again; "
                "allow_failed=True loads it all the same"
            )
    except BaseException:
        runtime.close()
        raise
    if belief.verdict in (Verdict.NOT_RUN, Verdict.CHECKED):
        warnings.warn(
            f"{artifact.manifest.name}: parity not run on {found.name}: {belief.reason}; prove it here with "
            f"python -m runtimes verify {artifact.folder} --device {found.name}",
            ParityNotRunWarning,
            stacklevel=2,
        )
    return runtime


def verify(path: str | os.PathLike[str], *, device: str | None = None) -> Record:
    """Run an artifact's own proof on a device and remember the outcome; needs the backend and numpy, no PyTorch.

    Args:
        path: the artifact folder.
        device: as in :func:`load`.

    Raises:
        ArtifactError: the folder is not a whole, unchanged artifact, or has no proof.
        BackendError: the backend or the device is missing, or the backend cannot load the artifact.
        OSError: the outcome can be kept nowhere.
    """
    artifact = open_artifact(path)
    module, found = _find(artifact, device)
    with module.open_runtime(artifact, found.name, Tuning()) as runtime:
        return prove(artifact, runtime, found, Machine.here(module.ABOUT, found))


def _believed(artifact: Artifact, runtime: Runtime, device: Device, machine: Machine, *, verify: bool) -> Belief:
    """The verdict that holds, won now where ``verify`` asks for it and this machine has none of its own."""
    belief = believed(artifact, Conditions.of(runtime, device, machine))
    if belief.own or not verify:
        return belief
    record = prove(artifact, runtime, device, machine)
    return Belief(verdict=record.verdict, reason=record.reason, own=True)


def _find(artifact: Artifact, name: str | None) -> tuple[Backend, Device]:
    """The backend of an artifact and one of its devices.

    Raises:
        BackendError: one of them is missing here.
    """
    module = runner(artifact.manifest.backend, name)
    if reason := module.missing():
        raise BackendError(reason)
    name = name or module.DEFAULT_DEVICE
    found = next((device for device in module.devices() if device.name == name), None)
    if found is None:
        known = ", ".join(device.name for device in module.devices()) or "none"
        raise BackendError(f"{module.ABOUT.name} has no device {name!r} here; there are {known}")
    if found.reason:
        raise BackendError(f"{module.ABOUT.name} cannot use {name}: {found.reason}")
    return module, found
