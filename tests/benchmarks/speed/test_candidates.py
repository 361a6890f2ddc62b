from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.options import Selection
from benchmarks.speed.candidates import ELSEWHERE, candidates
from export.targets import TARGETS, target
from runtimes.contract import Precision, Size
from runtimes.device import Device
from runtimes.registry import BACKENDS, backend


def _selection(**given: object) -> Selection:
    chosen = {
        "model": "random:ifrnet_s",
        "size": Size(64, 48),
        "threads": 1,
        "backends": tuple(BACKENDS),
        "precisions": None,
        "devices": None,
        "artifacts": Path("artifacts"),
    }
    return Selection(**(chosen | given))  # type: ignore[arg-type]


def test_every_target_in_every_precision_has_a_row() -> None:
    rows = candidates(_selection())
    names = [name for name in TARGETS if name not in ELSEWHERE]
    wanted = {(name, precision) for name in names for precision in target(name).TOLERANCES}
    assert {(row.target, row.precision) for row in rows} == wanted
    assert all(bool(row.reason) is not row.runnable for row in rows)
    assert all(target(name).BACKEND == target("onnx").BACKEND for name in ELSEWHERE)  # measured as rows of onnx


def test_a_precision_that_a_target_lacks_is_one_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target("ncnn"), "TOLERANCES", {Precision.FP32: None})
    (row,) = candidates(_selection(backends=("ncnn",), precisions=(Precision.INT8,)))
    assert not row.runnable
    assert row.reason == "target ncnn has no int8; it has fp32"


def test_devices_say_why_they_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        Device(name="cpu"),
        Device(name="vulkan:0", description="llvmpipe", software=True),
        Device(name="vulkan:1", reason="no driver"),
    ]
    module = backend("ncnn")
    monkeypatch.setattr(module, "missing", lambda: "")
    monkeypatch.setattr(module, "devices", lambda: found)
    chosen = {"backends": ("ncnn",), "precisions": (Precision.FP32,)}
    reasons = {row.device: row.reason for row in candidates(_selection(**chosen))}
    assert reasons["cpu"] == ""
    assert "add --devices vulkan:0 to measure it" in reasons["vulkan:0"]
    assert reasons["vulkan:1"] == "no driver"
    named = candidates(_selection(**chosen, devices=("vulkan:0",)))
    assert [(row.device, row.runnable) for row in named] == [("vulkan:0", True)]


def test_a_device_that_nothing_has_is_refused() -> None:
    chosen = {"backends": ("onnxruntime",), "precisions": (Precision.FP32,)}
    assert candidates(_selection(**chosen, devices=("cpu",)))
    with pytest.raises(BenchmarkError, match="--devices cpuu: none of pytorch, onnxruntime has a device of that name"):
        candidates(_selection(**chosen, devices=("cpu", "cpuu")))


def test_a_missing_package_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend("openvino"), "missing", lambda: "openvino is not installed: pip install it")
    rows = candidates(_selection(backends=("openvino",), precisions=(Precision.FP32,)))
    assert [row.reason for row in rows] == ["openvino is not installed: pip install it"]
