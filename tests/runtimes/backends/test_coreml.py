"""Core ML's backend against a stand-in for coremltools on macOS: no test here runs Core ML."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtimes import ParityNotRunWarning, load
from runtimes.artifact import Artifact, open_artifact
from runtimes.backends import coreml
from runtimes.contract import Size, SizeRange
from runtimes.errors import ArtifactError, BackendError
from runtimes.tuning import Tuning

if sys.platform == "darwin":
    pytest.skip("the stand-in is for machines without Core ML", allow_module_level=True)

SIZE = (1, 3, 96, 160)


class MLCPUComputeDevice:
    """As coremltools names it."""


class MLGPUComputeDevice:
    """As coremltools names it."""


class StandIn:
    """What the backend calls of coremltools: it blends the frames, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.loaded: list[tuple[dict[str, bytes], str]] = []
        self.folders: list[Path] = []
        self.trouble = ""
        device = SimpleNamespace(get_all_compute_devices=lambda: [MLCPUComputeDevice(), MLGPUComputeDevice()])
        self.module = ModuleType("coremltools")
        units = SimpleNamespace(CPU_ONLY="CPU_ONLY", CPU_AND_GPU="CPU_AND_GPU", CPU_AND_NE="CPU_AND_NE")
        compute_device = SimpleNamespace(MLComputeDevice=device)
        models = SimpleNamespace(MLModel=self.load, compute_device=compute_device)
        vars(self.module).update(ComputeUnit=units, models=models)

    def load(self, path: str, *, compute_units: str) -> Any:
        """``MLModel(path, compute_units=...)``."""
        if self.trouble:
            raise RuntimeError(self.trouble)
        folder = Path(path)
        files = {item.relative_to(folder).as_posix(): item.read_bytes() for item in folder.rglob("*") if item.is_file()}
        self.loaded.append((files, compute_units))
        self.folders.append(folder)
        inputs = [
            SimpleNamespace(name=name, type=SimpleNamespace(multiArrayType=SimpleNamespace(shape=list(SIZE))))
            for name in ("img0", "img1")
        ]
        spec = SimpleNamespace(description=SimpleNamespace(input=inputs))
        return SimpleNamespace(get_spec=lambda: spec, predict=self.predict)

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Nothing but a blend, so that the order of the frames shows."""
        return {"imgt": inputs["img0"] * (1 - inputs["t"]) + inputs["img1"] * inputs["t"]}


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """This machine, taken for a Mac with a GPU and no Neural Engine."""
    stand_in = StandIn()
    monkeypatch.setattr(coreml, "missing", lambda: "")
    monkeypatch.setattr("platform.mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    monkeypatch.setitem(sys.modules, "coremltools", stand_in.module)
    yield stand_in
    assert not any(folder.exists() for folder in stand_in.folders), "a package was left behind"


@pytest.fixture(scope="module")
def whole(artifact: Callable[..., Path]) -> Artifact:
    """Exported before the stand-in takes the place of coremltools."""
    return open_artifact(artifact("coreml"))


def test_it_is_missing_here_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert coreml.missing() == "Core ML is a part of Apple's systems: its files can be made here, and run there"
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert coreml.missing() == "coremltools is not installed: pip install 'ifrnet-export[coreml]'"


def test_the_devices_are_those_that_core_ml_has(mac: StandIn) -> None:
    cpu, gpu, npu = coreml.devices()
    assert (cpu.name, cpu.reason, cpu.is_cpu, dict(cpu.versions)) == ("cpu", "", True, {"macOS": "15.1"})
    assert (gpu.name, gpu.reason, gpu.driver) == ("gpu", "", "15.1")
    assert (npu.name, npu.reason) == ("npu", "this machine has no Neural Engine that Core ML uses")


@pytest.mark.parametrize(("device", "units"), list(coreml.UNITS.items()))
def test_it_loads_what_was_checked_for_the_device(device: str, units: str, mac: StandIn, whole: Artifact) -> None:
    elsewhere = replace(whole, folder=Path("/nowhere"))
    with coreml.open_runtime(elsewhere, device, Tuning()) as runtime:
        ((files, asked),) = mac.loaded
        assert asked == units
        package = f"{coreml.PACKAGE}/"
        assert files == {k.removeprefix(package): v for k, v in whole.contents.items() if k.startswith(package)}
        img0, img1 = np.zeros(SIZE, np.float32), np.ones(SIZE, np.float32)
        t = np.array([0.25, 0.5], np.float32).reshape(2, 1, 1, 1)
        np.testing.assert_array_equal(runtime.infer(img0, img1, t)[:, 0, 0, 0], [0.25, 0.5])
        assert (runtime.spec.device, runtime.spec.backend, runtime.spec.arithmetic) == (device, "coreml", "fp32")


def test_a_file_that_was_checked_elsewhere_is_unproved_on_the_mac(whole: Artifact, mac: StandIn) -> None:
    with pytest.warns(ParityNotRunWarning, match="parity not run on gpu: the saved file was read back and computed"):
        load(whole.folder, device="gpu").close()


def test_what_core_ml_refuses_is_one_line(mac: StandIn, whole: Artifact) -> None:
    mac.trouble = "Error compiling model:\nsomething"
    with pytest.raises(BackendError, match=r"Core ML cannot load .* \(Error compiling model:\\nsomething\)"):
        coreml.open_runtime(whole, "cpu", Tuning())
    mac.trouble = ""
    with pytest.raises(BackendError, match=r"has no model\.mlpackage: export it again"):
        coreml.open_runtime(replace(whole, contents={}), "cpu", Tuning())


def test_a_manifest_of_another_size_is_refused(mac: StandIn, whole: Artifact) -> None:
    other = replace(whole.manifest, sizes=SizeRange.static(Size(320, 96)))
    with pytest.raises(ArtifactError, match="the manifest says frames of 320x96, the model takes 1x3x96x160"):
        coreml.open_runtime(replace(whole, manifest=other), "cpu", Tuning())
