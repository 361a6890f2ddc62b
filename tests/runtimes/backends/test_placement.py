"""Where ONNX Runtime puts nodes: a heavy one elsewhere than asked is refused. CUDA is a recording here."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from runtimes.artifact import Artifact
from runtimes.backends import onnxruntime as ort
from runtimes.backends.onnxruntime import check_placement, placement
from runtimes.contract import Precision
from runtimes.errors import ArtifactError, BackendError, DeviceUnavailableError
from runtimes.tuning import Tuning

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class Session:
    """The part of ``InferenceSession`` that tells the placement."""

    def __init__(self, *parts: tuple[str, list[str]]) -> None:
        self._parts = parts

    def get_provider_graph_assignment_info(self) -> list[Any]:
        return [
            SimpleNamespace(ep_name=name, get_nodes=lambda kinds=kinds: [SimpleNamespace(op_type=k) for k in kinds])
            for name, kinds in self._parts
        ]


def found(*parts: tuple[str, list[str]]) -> dict[str, list[str]]:
    return placement(Session(*parts))


def test_parts_of_a_provider_are_joined() -> None:
    assert found((CUDA, ["Conv"]), (CPU, ["Shape"]), (CUDA, ["Add", "Conv"])) == {
        CUDA: ["Conv", "Add", "Conv"],
        CPU: ["Shape"],
    }


def test_shapes_may_stay_on_the_cpu() -> None:
    check_placement(CUDA, found((CUDA, ["Conv", "GridSample"]), (CPU, ["Shape", "Gather"])))


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose", "GridSample", "Resize"])
def test_a_heavy_node_that_fell_to_the_cpu_is_refused(kind: str) -> None:
    with pytest.raises(BackendError, match=f"asked for {CUDA} and placed 2 {kind} on {CPU}"):
        check_placement(CUDA, found((CUDA, ["Conv"]), (CPU, [kind, "Shape", kind])))


def test_a_real_session_tells_its_placement(artifact: Callable[..., Path]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(artifact("onnx") / "model.onnx", options, providers=[CPU])
    nodes = placement(session)
    assert set(nodes) == {CPU}
    assert nodes[CPU].count("GridSample") == 4
    check_placement(CPU, nodes)
    with pytest.raises(BackendError, match=f"4 GridSample on {CPU}"):
        check_placement(CUDA, nodes)


class Driver:
    """Stands in for libcuda: this machine has no GPU."""

    def __init__(self, count: int, trouble: int = 0) -> None:
        self.count, self.trouble = count, trouble

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.trouble

    def cuDeviceGetCount(self, where: Any) -> int:  # noqa: N802
        where._obj.value = self.count
        return 0

    def cuDriverGetVersion(self, where: Any) -> int:  # noqa: N802
        where._obj.value = 13000
        return 0

    def cuDeviceGet(self, where: Any, index: int) -> int:  # noqa: N802
        where._obj.value = index
        return 0

    def cuDeviceGetName(self, where: Any, size: int, handle: Any) -> int:  # noqa: N802
        where.value = f"NVIDIA Test {handle.value}".encode()
        return 0


@pytest.mark.parametrize(
    ("driver", "usable"), [(Driver(2), ["cuda:0", "cuda:1"]), (Driver(0), []), (Driver(1, trouble=100), []), (None, [])]
)
def test_cuda_devices_are_those_of_the_driver(
    driver: Driver | None, usable: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> Driver:
        if driver is None:
            raise OSError(name)
        return driver

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    found = [device for device in ort.devices() if device.name != "cpu"]
    assert [device.name for device in found if not device.reason] == usable
    assert [(d.description, d.driver) for d in found if not d.reason] == [
        (f"NVIDIA Test {i}", "13000") for i in range(len(usable))
    ]
    assert usable or [(device.name, device.reason) for device in found] == [("cuda:0", "no NVIDIA GPU found")]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_npu_is_asked_for_nothing_that_it_would_compute_otherwise(precision: str) -> None:
    """It has no float32, and would run it in half precision without a word. Here is no NPU: what passes finds none."""
    from runtimes.backends import openvino
    from tests.runtimes.test_base import MANIFEST

    manifest = replace(MANIFEST, backend="openvino", precision=Precision(precision))
    artifact = Artifact(Path("none"), manifest, {})
    refused = precision != "fp16"
    with pytest.raises(DeviceUnavailableError if refused else ArtifactError) as caught:
        openvino.open_runtime(artifact, "npu", Tuning())
    assert ("export with --fp16 and --size" in str(caught.value)) == refused
