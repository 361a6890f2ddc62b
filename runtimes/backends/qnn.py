"""Qualcomm's NPU, the Hexagon processor of Snapdragon chips, through ONNX Runtime's QNN plugin.

The package for x86-64 Linux holds Qualcomm's own emulation of the NPU, which runs the context binaries that go to a
phone, in seconds to minutes a frame. The NPU itself was never at hand: what it computes is for its verdicts to say.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import EMULATOR, Artifact
from runtimes.backends.native_library import ForkGuard, captured_output
from runtimes.base import Runtime
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME
from runtimes.device import About, Device
from runtimes.errors import ArtifactError, BackendError
from runtimes.frames import Array
from runtimes.printable import MAX_REASON, one_line
from runtimes.tuning import Choices, Tuning

ABOUT = About(
    name="qnn",
    title="Qualcomm NPU",
    modules=("onnxruntime_qnn",),
    distributions=("onnxruntime-qnn", "onnxruntime"),
    extra="qnn",
    colour="#f0e442",
)

DEFAULT_DEVICE = "npu"

SETTINGS: Choices = {}
"""What the compiler chose is in the file."""

PROVIDER = "QNNExecutionProvider"

GLIBC = (2, 35)
"""The oldest that the wheel for Linux is built for."""

NPU = "Hexagon NPU"

BUILT_FOR = re.compile(rb"ep_compatibility_info\.QNNExecutionProvider\x12.v2:\d+:[\d.]+:[\d.]+:(\d+):(\d+):")
"""Where a file says which architecture and chip it is for: an entry of ONNX's metadata, as protobuf stores it."""

_forks = ForkGuard("Qualcomm's library")


def missing() -> str:
    """Why the plugin cannot be used here; empty when it can."""
    for name in ("onnxruntime", "onnxruntime_qnn"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed: pip install 'ifrnet-export[qnn]'"
    library, version = platform.libc_ver()
    if sys.platform == "linux" and library == "glibc" and tuple(map(int, version.split(".")[:2])) < GLIBC:
        needs = ".".join(map(str, GLIBC))
        return (
            f"onnxruntime-qnn needs glibc {needs}, this system has {version}: Debian 12 and Ubuntu 22.04 are new enough"
        )
    return ""


@cache
def plugin() -> tuple[Any, Any, tuple[Any, ...]]:
    """ONNX Runtime, the plugin's package, and the plugin's devices. A process registers the plugin once."""
    import onnxruntime
    import onnxruntime_qnn

    onnxruntime.disable_telemetry_events()
    with captured_output():
        onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
        devices = tuple(device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER)
    return onnxruntime, onnxruntime_qnn, devices


def devices() -> Iterator[Device]:
    """The NPU where this machine has one, and its emulation where the package holds that."""
    onnxruntime, package, found = plugin()
    title = f"{PROVIDER} {package.__version__}"
    has_npu = any(device.device.type == onnxruntime.OrtHardwareDeviceType.NPU for device in found)
    reason = "" if has_npu else "this machine has no Hexagon NPU that the plugin knows; --device emulator emulates one"
    yield Device(name="npu", description=f"{NPU}, {title}", reason=reason)
    emulated = sys.platform == "linux" and platform.machine() == "x86_64"
    yield Device(
        name=EMULATOR,
        description=f"Qualcomm's emulation of the {NPU}, {title}",
        reason="" if emulated else "Qualcomm's emulation is made for x86-64 Linux",
        software=True,
        emulates=NPU,
    )


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Load the context binary in ``model.onnx``."""
    return QnnRuntime(artifact, device, tuning)


def built_for(data: bytes) -> tuple[int, int] | None:
    """Architecture and chip that a file says it is for; None where it says nothing."""
    found = BUILT_FOR.search(data)
    return (int(found[1]), int(found[2])) if found else None


class QnnRuntime(Runtime):
    """A session of one context binary. The NPU and its emulation choose their threads themselves."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        _forks.check()
        data = artifact.data(".onnx")
        check_chip(artifact, built_for(data))
        self._session = _session(artifact, device, data)
        artifact.check_sizes([value.shape for value in self._session.get_inputs()[:2]])
        arithmetic = str(artifact.manifest.details.get("form", artifact.manifest.precision))
        super().__init__(artifact.manifest, backend="qnn", device=device, arithmetic=arithmetic, tuning=tuning)

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        _forks.check()
        output: Array = self._session.run([OUTPUT_NAME], dict(zip(INPUT_NAMES, (img0, img1, t), strict=True)))[0]
        return output

    def _close(self) -> None:
        del self._session


def check_chip(artifact: Artifact, found: tuple[int, int] | None) -> None:
    """Hold what a file says of itself against the manifest: the emulation runs any architecture, a phone its own.

    Raises:
        ArtifactError: they differ, or it is no context binary.
    """
    details = artifact.manifest.details
    if found is None:
        raise ArtifactError(f"{artifact.folder} holds no context binary of Qualcomm's compiler: export it again")
    wanted = details.get("htp_arch"), details.get("soc_model")
    if found != wanted:
        raise ArtifactError(
            f"{artifact.folder} is built for Hexagon V{found[0]} (chip {found[1]}), its manifest says V{wanted[0]} "
            f"(chip {wanted[1]}): export it again with the --soc of the phone"
        )


def _session(artifact: Artifact, device: str, data: bytes) -> Any:
    """A session whose whole graph is on the NPU.

    Raises:
        BackendError: the plugin refuses it, for example a binary of another architecture or a newer SDK.
    """
    onnxruntime, package, found = plugin()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    kinds = onnxruntime.OrtHardwareDeviceType
    usable = [item for item in found if (item.device.type == kinds.NPU) is (device != EMULATOR)]
    with captured_output():
        try:
            options.add_provider_for_devices(usable, {"backend_path": package.get_qnn_htp_path()})
            return onnxruntime.InferenceSession(data, options)
        except Exception as error:  # ONNX Runtime raises classes of its own that share no base
            reason = error
    chip = artifact.manifest.details
    raise BackendError(
        f"{device} does not take {artifact.folder}, which is built for Hexagon V{chip.get('htp_arch')} "
        f"({chip.get('part')}): {one_line(' '.join(str(reason).split()), MAX_REASON)}"
    ) from reason
