"""The NPU's backend against stand-ins for ONNX Runtime and its plugin: no test here runs Qualcomm's library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtimes.artifact import EMULATOR, Artifact, Manifest
from runtimes.backends import qnn
from runtimes.contract import INPUT_NAMES, Precision, Size, SizeRange, Timesteps
from runtimes.errors import ArtifactError, BackendError
from runtimes.tuning import Tuning

INFO = b"ep_compatibility_info.QNNExecutionProvider\x12\x1cv2:6:2.51.0:5.51.0:75:57:0:0"

SHAPE = [1, 3, 64, 96]


class Options:
    """As ONNX Runtime's, and what it was told."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.devices: list[Any] = []

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value

    def add_provider_for_devices(self, devices: list[Any], options: dict[str, str]) -> None:
        self.devices = devices


class Session:
    """Blends the frames."""

    refuses = ""
    made: tuple[bytes, Options]

    def __init__(self, data: bytes, options: Options) -> None:
        if Session.refuses:
            raise RuntimeError(Session.refuses)
        Session.made = data, options

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(shape=SHAPE), SimpleNamespace(shape=SHAPE), SimpleNamespace(shape=[1, 1, 1, 1])]

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert (names, tuple(feed)) == (["imgt"], INPUT_NAMES)
        return [(feed["img0"] + feed["img1"]) / 2]


def device(kind: str) -> Any:
    return SimpleNamespace(device=SimpleNamespace(type=kind))


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the plugin find devices of some kinds."""

    def plug(*kinds: str) -> None:
        kind = SimpleNamespace(NPU="NPU", CPU="CPU")
        onnxruntime = SimpleNamespace(OrtHardwareDeviceType=kind, SessionOptions=Options, InferenceSession=Session)
        package = SimpleNamespace(__version__="2.7.0", get_qnn_htp_path=lambda: "libQnnHtp.so")
        monkeypatch.setattr(qnn, "plugin", lambda: (onnxruntime, package, tuple(map(device, kinds))))
        monkeypatch.setattr(Session, "refuses", "")

    return plug


def artifact(arch: int = 75, data: bytes = INFO) -> Artifact:
    details = {"htp_arch": arch, "soc_model": 57, "part": "SM8650", "form": "mixed"}
    manifest = Manifest(
        name="x", target="qnn", backend="qnn", variant="ifrnet_s", checkpoint={}, timesteps=Timesteps.ANY, scale=1.0,
        precision=Precision.INT8, sizes=SizeRange.static(Size(96, 64)), rewrites=(), tools={}, details=details,
        files={},
    )  # fmt: skip
    return Artifact(Path("/artifacts/x"), manifest, {"model.onnx": data})


def test_devices_say_what_is_missing(plugged: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    plugged("CPU")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.platform", "linux")
    npu, emulator = qnn.devices()
    assert npu.reason.startswith("this machine has no Hexagon NPU that the plugin knows")
    assert (emulator.name, emulator.reason, emulator.emulates) == (EMULATOR, "", "Hexagon NPU")
    assert emulator.software
    plugged("NPU", "CPU")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    npu, emulator = qnn.devices()
    assert (npu.reason, npu.emulates) == ("", "")
    assert emulator.reason == "Qualcomm's emulation is made for x86-64 Linux"


@pytest.mark.parametrize(("name", "kind"), [("npu", "NPU"), (EMULATOR, "CPU")])
def test_the_whole_graph_on_the_device_that_was_asked_for(name: str, kind: str, plugged: Callable[..., None]) -> None:
    plugged("CPU", "NPU")
    with qnn.open_runtime(artifact(), name, Tuning()) as runtime:
        data, options = Session.made
        assert data == INFO
        assert options.entries == {"session.disable_cpu_ep_fallback": "1"}
        assert [item.device.type for item in options.devices] == [kind]
        assert (runtime.spec.device, runtime.spec.arithmetic) == (name, "mixed")
        img0, img1 = (np.full(SHAPE, value, np.float32) for value in (0.2, 0.6))
        output = runtime.infer(img0, img1, np.full((1, 1, 1, 1), 0.5, np.float32))
        np.testing.assert_allclose(output, 0.4, rtol=1e-6)


def test_another_architecture_is_one_line(plugged: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    plugged("NPU")
    with pytest.raises(ArtifactError) as caught:
        qnn.open_runtime(artifact(arch=79), "npu", Tuning())
    assert str(caught.value) == (
        "/artifacts/x is built for Hexagon V75 (chip 57), its manifest says V79 (chip 57): export it again with the "
        "--soc of the phone"
    )
    monkeypatch.setattr(Session, "refuses", "QNN error 5000:\n  context binary is for another\n  architecture")
    with pytest.raises(BackendError) as refused:
        qnn.open_runtime(artifact(), "npu", Tuning())
    assert str(refused.value) == (
        "npu does not take /artifacts/x, which is built for Hexagon V75 (SM8650): QNN error 5000: context binary is "
        "for another architecture"
    )


def test_what_is_no_context_binary(plugged: Callable[..., None]) -> None:
    plugged("NPU")
    with pytest.raises(ArtifactError, match="/artifacts/x holds no context binary of Qualcomm's compiler"):
        qnn.open_runtime(artifact(data=b"an ONNX graph"), "npu", Tuning())
