"""Which backends there are, which devices they have here, and why the rest is missing."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from runtimes.artifact import Artifact, open_artifact
from runtimes.backends import (
    coreml,
    executorch,
    litert,
    mnn,
    native,
    ncnn,
    onnxruntime,
    openvino,
    qnn,
    tensorrt,
)
from runtimes.base import Runtime, Spec
from runtimes.contract import Verdict
from runtimes.device import About, Device
from runtimes.errors import BackendError, ParityError, ParityNotRunWarning, RuntimesError
from runtimes.machine import Machine
from runtimes.printable import note
from runtimes.shipped import PREFERENCE, Shipped
from runtimes.tuning import Choices, Tuning, read_tuning
from runtimes.verdicts import Belief, Conditions, Record, believed, prove, record_on


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
        "litert": litert,
        "executorch": executorch,
        "tensorrt": tensorrt,
        "coreml": coreml,
        "qnn": qnn,
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
    path: str | os.PathLike[str] | None = None,
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
        path: the artifact folder; None takes one that comes with this package, see :func:`best`.
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

    Without a path the errors of :func:`best` come first.

    Warns:
        ParityNotRunWarning: the artifact was never compared with PyTorch on such a device, in such arithmetic.
        VerdictWarning: it was, with another version of the backend; or a file of verdicts is damaged, or none can be
            written.
    """
    artifact = open_artifact(best((device,)).shipped.folder if path is None else path)
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
    if belief.verdict not in (Verdict.PASSED, Verdict.FAILED) and not belief.own:
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

    Warns:
        VerdictWarning: the outcome can be kept nowhere.
    """
    artifact = open_artifact(path)
    return _prove(artifact, *_find(artifact, device))


def _prove(artifact: Artifact, module: Backend, device: Device) -> Record:
    with module.open_runtime(artifact, device.name, Tuning()) as runtime:
        return prove(artifact, runtime, device, Machine.here(module.ABOUT, device))


# ---- where the user names no artifact ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A shipped artifact that is proved on this machine, and its proof on the first of the devices asked for."""

    shipped: Shipped
    record: Record


def best(devices: Sequence[str | None] = (None,), *, tell: Callable[[str], None] = note) -> Choice:
    """The shipped artifact to take: the first of ``PREFERENCE`` that runs here and is proved on ``devices``.

    What was never proved on this machine is proved now, once. An artifact whose backend or device is not here is passed
    over in silence, one that does not load or fails its proof with a line that says why.

    Args:
        devices: as in :func:`load`.
        tell: receives a line before and after a proof, and for each artifact that is passed over.

    Raises:
        BackendError: none can run here; names the extra to install.
        ParityError: none passed its proof, and one failed it.
        ArtifactError: one was changed or is missing.

    Warns:
        VerdictWarning: a verdict can be kept nowhere, so that each call proves the artifact again.
    """
    lacking: list[BackendError] = []
    failed: list[RuntimesError] = []
    for item in PREFERENCE:
        artifact = open_artifact(item.folder)
        try:
            places = [_find(artifact, device) for device in devices]
        except BackendError as error:
            lacking.append(error)
            continue
        try:
            records = [_proved(artifact, module, found, tell) for module, found in places]
        except (BackendError, ParityError) as error:
            failed.append(error)
            continue
        for why in failed:
            tell(f"passed over: {why}")
        return Choice(shipped=item, record=records[0])
    reasons = "; ".join(dict.fromkeys(map(str, [*failed, *lacking])))
    kind = ParityError if any(isinstance(why, ParityError) for why in failed) else BackendError
    raise kind(f"no artifact that comes with this package can run here: {reasons}")


def _proved(artifact: Artifact, module: Backend, device: Device, tell: Callable[[str], None]) -> Record:
    """The proof of an artifact on a device: one that is remembered, else run now.

    Raises:
        BackendError, ParityError, ArtifactError: see :func:`best`.
    """
    name = artifact.manifest.name
    record = record_on(artifact, device, Machine.here(module.ABOUT, device))
    if record is None:
        tell(f"proving {name} on {device.name}, once on this machine: a few seconds")
        start = time.perf_counter()
        record = _prove(artifact, module, device)
        tell(f"{name} on {device.name}: {record.verdict} in {time.perf_counter() - start:.1f} s")
    if record.verdict is Verdict.FAILED:
        raise ParityError(f"{name} failed its proof on {device.name} ({record.reason})")
    return record


def verdict_here(path: str | os.PathLike[str], device: str | None = None) -> tuple[Spec, Belief]:
    """What an artifact is on a device, and the verdict that holds there; nothing is proved.

    Raises:
        ArtifactError, BackendError: as :func:`verify` does.

    Warns:
        VerdictWarning: as :func:`load` does.
    """
    artifact = open_artifact(path)
    module, found = _find(artifact, device)
    with module.open_runtime(artifact, found.name, Tuning()) as runtime:
        return runtime.spec, believed(artifact, Conditions.of(runtime, found, Machine.here(module.ABOUT, found)))


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
    name = module.DEFAULT_DEVICE if name is None else name
    found = next((device for device in module.devices() if device.name == name), None)
    if found is None:
        known = ", ".join(device.name for device in module.devices()) or "none"
        raise BackendError(f"{module.ABOUT.name} has no device {name!r} here; there are {known}")
    if found.reason:
        raise BackendError(f"{module.ABOUT.name} cannot use {name}: {found.reason}")
    return module, found
