"""Core ML on macOS, through coremltools.

Written without a Mac at hand and tested with a stand-in only: what it computes there is for its verdicts to say.
coremltools imports PyTorch where that is installed; it needs none.
"""

from __future__ import annotations

import importlib.util
import logging
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact
from runtimes.base import Runtime
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME
from runtimes.device import About, Device
from runtimes.environment import processor
from runtimes.errors import BackendError
from runtimes.frames import Array
from runtimes.printable import MAX_REASON, one_line
from runtimes.tuning import Choices, Tuning

ABOUT = About(
    name="coreml",
    title="Core ML",
    modules=("coremltools",),
    distributions=("coremltools",),
    extra="coreml",
    colour="#56b4e9",
)

DEFAULT_DEVICE = "cpu"

SETTINGS: Choices = {}
"""Core ML has none."""

PACKAGE = "model.mlpackage"

UNITS = MappingProxyType({"cpu": "CPU_ONLY", "gpu": "CPU_AND_GPU", "npu": "CPU_AND_NE"})
"""Device -> what Core ML may use. It has no way to exclude the CPU, and places each operation itself."""

CLASSES = MappingProxyType({"gpu": "MLGPUComputeDevice", "npu": "MLNeuralEngineComputeDevice"})


def missing() -> str:
    """Why Core ML cannot be used here; empty when it can."""
    if sys.platform != "darwin":
        return "Core ML is a part of Apple's systems: its files can be made here, and run there"
    if importlib.util.find_spec("coremltools") is None:
        return "coremltools is not installed: pip install 'ifrnet-export[coreml]'"
    return ""


def devices() -> Iterator[Device]:
    """The CPU, the GPU and the Neural Engine. Core ML belongs to macOS, whose version counts as the driver."""
    module = _coremltools()
    system = platform.mac_ver()[0]
    present = {type(found).__name__ for found in module.models.compute_device.MLComputeDevice.get_all_compute_devices()}
    about = f"Core ML, {processor()}"
    yield Device(name="cpu", description=about, versions={"macOS": system})
    for name, title in (("gpu", "GPU"), ("npu", "Neural Engine")):
        reason = "" if CLASSES[name] in present else f"this machine has no {title} that Core ML uses"
        description = f"{about}, {title} beside the CPU"
        yield Device(name=name, description=description, reason=reason, driver=system, versions={"macOS": system})


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Load ``model.mlpackage``."""
    return CoremlRuntime(artifact, device, tuning)


def _coremltools() -> Any:
    """The module; importing it logs."""
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        import coremltools
    finally:
        logger.setLevel(level)
    return coremltools


class CoremlRuntime(Runtime):
    """A model that Core ML has compiled for this machine. Core ML chooses its threads itself."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        self._folder = tempfile.TemporaryDirectory()
        try:
            self._model = _load(artifact, device, Path(self._folder.name))
            inputs = {item.name: item.type.multiArrayType.shape for item in self._model.get_spec().description.input}
            artifact.check_sizes([list(inputs.get(name, ())) for name in INPUT_NAMES[:2]])
        except BaseException:
            self._folder.cleanup()
            raise
        arithmetic = str(artifact.manifest.precision)  # of the file; Core ML does not tell what it makes of it
        super().__init__(artifact.manifest, backend="coreml", device=device, arithmetic=arithmetic, tuning=tuning)

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        outputs = self._model.predict(dict(zip(INPUT_NAMES, (img0, img1, t), strict=True)))
        return np.array(outputs[OUTPUT_NAME], np.float32)

    def _close(self) -> None:
        del self._model
        self._folder.cleanup()


def _load(artifact: Artifact, device: str, folder: Path) -> Any:
    """The model, from what was checked: Core ML reads files only.

    Raises:
        BackendError: Core ML refuses it, or there is none.
    """
    names = [name for name in artifact.contents if name.startswith(f"{PACKAGE}/")]
    if not names:
        raise BackendError(f"{artifact.folder} has no {PACKAGE}: export it again")
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(artifact.contents[name])
    module = _coremltools()
    try:
        units = getattr(module.ComputeUnit, UNITS[device])
        return module.models.MLModel(str(folder / PACKAGE), compute_units=units)
    except Exception as error:  # Core ML's errors come as RuntimeError or Exception
        reason = one_line(error, MAX_REASON)
        raise BackendError(f"Core ML cannot load {artifact.folder} ({reason}): export it again") from error
