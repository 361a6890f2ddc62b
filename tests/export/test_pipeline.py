"""The order of stages: names, what exists, what is interrupted, and what is left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

import export.pipeline
import export.source
from export import to_ncnn, to_onnx, to_tensorrt
from export.__main__ import main
from export.errors import ExportError
from export.options import ExportOptions
from export.padded_inputs import PaddedConv
from export.targets import TARGETS
from export.verify import verify
from runtimes.artifact import Artifact, open_artifact
from runtimes.backends import tensorrt as runtime
from runtimes.cli import run
from runtimes.contract import Precision, Size, SizeRange, Timesteps, Verdict
from runtimes.device import Device

ROOT = Path(__file__).parent.parent.parent

NAME = "ifrnet_s-random0-onnx-fp32-160x96"


def export_(out: Path, *arguments: str, target: str = "onnx") -> int:
    given = ["--target", target, "--model", "random:ifrnet_s", "--size", "160x96", "--out", str(out), *arguments]
    return run("python -m export", main, given)


@pytest.fixture
def traced(artifact: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph of the shared artifact instead of a new trace."""
    narrow, padded = (onnx.load(artifact(target) / "model.onnx") for target in ("onnx", "web"))

    def trace(module: torch.nn.Module, *_: object) -> onnx.ModelProto:
        return padded if any(isinstance(part, PaddedConv) for part in module.modules()) else narrow

    monkeypatch.setattr(export.source, "trace", trace)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "m-onnx-fp32-1280x720"),
        ({"sizes": SizeRange.static(Size(77, 131))}, "m-onnx-fp32-77x131"),
        ({"scale": 0.5}, "m-onnx-fp32-1280x720-scale0.5"),
        ({"sizes": SizeRange(minimum=Size(32, 32), typical=Size(64, 64), maximum=Size(99, 99))}, "m-onnx-fp32-dynamic"),
    ],
)
def test_names(options: dict[str, object], expected: str) -> None:
    made = ExportOptions(targets=("onnx",), **options)  # type: ignore[arg-type]
    assert made.artifact_name("m", "onnx", Precision.FP32) == expected


def test_the_manifest_tells_what_was_built(artifact: Callable[..., Path]) -> None:
    path = artifact("onnx")
    manifest = open_artifact(path).manifest
    assert manifest.name == path.name == NAME
    assert (manifest.target, manifest.backend, manifest.variant) == ("onnx", "onnxruntime", "ifrnet_s")
    assert manifest.precision is Precision.FP32
    assert manifest.timesteps is Timesteps.ANY
    assert manifest.sizes == SizeRange.static(Size(160, 96))
    assert manifest.rewrites == to_onnx.rewrites(Precision.FP32)
    assert manifest.checkpoint["provenance"] == {"weights": "random", "seed": 0}
    assert len(manifest.checkpoint["sha256"]) == 64
    assert {"torch", "onnx", "onnxscript", "onnxsim", "onnxruntime"} <= manifest.tools.keys()
    assert manifest.created.endswith("+00:00")
    assert list(manifest.files) == ["model.onnx", "proof.dat"]
    assert manifest.parity_on("cpu").verdict is Verdict.PASSED
    text = (path / "manifest.json").read_text()
    assert str(ROOT) not in text
    assert str(Path.home()) + "/" not in text


def test_the_built_in_model_is_named_with_its_provenance(artifact: Callable[..., Path]) -> None:
    manifest = open_artifact(artifact("onnx", model="ifrnet_s")).manifest
    provenance = manifest.checkpoint["provenance"]
    assert provenance["sha256"] == manifest.checkpoint["sha256"]
    assert {"licence", "attribution"} <= provenance["data"][0].keys()
    assert not {"evaluation", "started_from"} & provenance.keys()  # told by the checkpoint's own file
    assert manifest.name.startswith(manifest.checkpoint["name"])


def test_a_model_for_the_middle_is_compared_there(artifact: Callable[..., Path], middle_checkpoint: Path) -> None:
    manifest = open_artifact(artifact("onnx", model=str(middle_checkpoint))).manifest
    assert manifest.timesteps is Timesteps.MIDDLE
    assert {result.t for result in manifest.parity_on("cpu").results} == {0.5}


@pytest.mark.usefixtures("traced")
def test_an_artifact_that_exists_needs_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_(tmp_path) == 0
    first = (tmp_path / NAME / "manifest.json").read_bytes()
    assert export_(tmp_path) == 1
    error = capsys.readouterr().err
    assert error == f"python -m export: {tmp_path / NAME} exists: pass --force to replace it, or another --out\n"
    assert (tmp_path / NAME / "manifest.json").read_bytes() == first
    (tmp_path / NAME / "stray").touch()
    assert export_(tmp_path, "--force") == 0
    assert not (tmp_path / NAME / "stray").exists()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    open_artifact(tmp_path / NAME)


def test_what_exists_is_seen_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAME).mkdir()
    monkeypatch.setattr(export.source, "build_graph", None)
    assert export_(tmp_path) == 1
    assert export_(tmp_path, "--force") == 1  # a folder that is no artifact is not replaced
    assert list((tmp_path / NAME).iterdir()) == []


@pytest.mark.usefixtures("traced")
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bytes = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        write_bytes(self, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert export_(tmp_path) == 1
    error = capsys.readouterr().err
    assert error == f"python -m export: the disk of {tmp_path} is full: make room, or pass another --out\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stage", ["compile", "verify"])
def test_killed_half_way_leaves_no_artifact(tmp_path: Path, stage: str) -> None:
    """SIGKILL, which no handler sees: what is left has another name, and the next run is not in its way."""
    code = f"""
import sys, time, export.pipeline as pipeline
from export import to_onnx
from export.__main__ import main
from export.declarations import Compiled
def compile(source, folder, precision, options):
    (folder / "model.onnx").write_bytes(b"half of it")
    wait("compile")
    return Compiled()
def verify(*_, **__):
    wait("verify")
def wait(stage):
    if stage == {stage!r}:
        print("READY", flush=True)
        time.sleep(60)
to_onnx.compile, pipeline.verify = compile, verify
main(["--target", "onnx", "--model", "random:ifrnet_s", "--size", "160x96", "--out", sys.argv[1]])
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert any(line == "READY\n" for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(f".{NAME}.")
    assert left[0].endswith(".partial")


@pytest.mark.usefixtures("traced")
def test_interrupted_by_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(to_onnx, "compile", interrupt)
    assert export_(tmp_path) == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("traced")
def test_what_was_built_before_an_error_stays_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ExportError("pnnx failed")

    monkeypatch.setattr(to_ncnn, "compile", fail)
    assert export_(tmp_path, "--target", "ncnn") == 1
    out, error = capsys.readouterr()
    assert error == "python -m export: pnnx failed\n"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert str(tmp_path / NAME) in out


def test_a_bug_is_reported_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(export.source, "build_graph", bug)
    assert export_(tmp_path) == 3
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "this is a bug, please report it" in error
    assert "torch 2." in error
    assert list(tmp_path.iterdir()) == []


def test_a_lack_of_memory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def short(*_: object, **__: object) -> None:
        torch.empty(1 << 60)

    monkeypatch.setattr(export.source, "build_graph", short)
    assert export_(tmp_path) == 1
    assert "there is not enough memory: smaller frames need less" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("traced")
def test_what_a_backend_caches_beside_an_artifact_is_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT for RTX keeps compiled kernels there and writes them anew: sealed, they would break the seal."""

    def caching(artifact: Artifact, *arguments: Any, **more: Any) -> Any:
        (artifact.folder / "runtime-0123.cache").write_bytes(b"kernels")
        return verify(artifact, *arguments, **more)

    monkeypatch.setattr(export.pipeline, "verify", caching)
    assert export_(tmp_path) == 0
    (tmp_path / NAME / "runtime-0123.cache").write_bytes(b"other kernels")
    assert "runtime-0123.cache" not in open_artifact(tmp_path / NAME).manifest.files


@pytest.mark.usefixtures("traced")
def test_the_table_names_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deep = tmp_path / "a-folder-whose-name-is-long" / "so-that-eighty-columns-do-not-hold-it"
    assert export_(deep) == 0
    out = capsys.readouterr().out
    for word in ("onnx", "fp32", "passed", str(deep / NAME)):
        assert word in out
    assert "cuda:0: not run: " in out
    assert f"{NAME}: comparing with PyTorch" in out


def test_a_model_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("x", main, ["--target", "onnx", "--model", "nosuch", "--out", str(tmp_path)]) == 1
    assert run("x", main, ["--target", "onnx", "--model", "random:nosuch", "--out", str(tmp_path)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "no model 'nosuch'; built-in: ifrnet_s" in errors[0]
    assert "no variant 'nosuch'; expected one of ifrnet_s" in errors[1]


# ---- targets ---------------------------------------------------------------------------------------------------------


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As if these packages were not installed."""
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in names else find_spec(name, *rest)
    )


MISSING = {
    "onnx": (("onnxruntime",), "onnxruntime is not installed: pip install 'ifrnet-export[onnx]'"),
    "web": (("onnxruntime",), "onnxruntime is not installed: pip install 'ifrnet-export[onnx]'"),
    "openvino": (("openvino",), "openvino is not installed: pip install 'ifrnet-export[openvino]'"),
    "ncnn": (("pnnx",), "pnnx is not installed: pip install 'ifrnet-export[export]'"),
    "mnn": (("MNN",), "MNN is not installed: pip install 'ifrnet-export[mnn]'"),
    "litert": (("ai_edge_litert",), "ai_edge_litert is not installed: pip install 'ifrnet-export[litert]'"),
    "executorch": (("executorch",), "executorch is not installed: pip install 'ifrnet-export[executorch]'"),
    "coreml": (("coremltools",), "coremltools is not installed: pip install 'ifrnet-export[coreml]'"),
    "qnn": (("onnxruntime_qnn",), "onnxruntime_qnn is not installed: pip install 'ifrnet-export[qnn]'"),
    "trt": (("tensorrt", "tensorrt_rtx"), "pip install 'ifrnet-export[trt]' (or [trt-rtx])"),
}


OTHERS = (
    "openvino",
    "ncnn",
    "MNN",
    "ai_edge_litert",
    "executorch",
    "coremltools",
    "tensorrt",
    "tensorrt_rtx",
    "onnxruntime_qnn",
)
"""A package of every target but those that ONNX Runtime runs."""


@pytest.mark.parametrize("name", TARGETS)
def test_a_missing_target_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packages, message = MISSING[name]
    hide(monkeypatch, *packages)
    assert export_(tmp_path, target=name) == 1
    error = capsys.readouterr().err
    assert f"python -m export: target {name}: " in error
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("traced")
def test_all_leaves_out_what_is_missing_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hide(monkeypatch, *OTHERS)
    assert export_(tmp_path, target="all") == 0
    assert {path.name for path in tmp_path.iterdir()} == {NAME, NAME.replace("-onnx-", "-web-")}
    out = " ".join(capsys.readouterr().out.split())
    assert "openvino left out: openvino is not installed: pip install 'ifrnet-export[openvino]'" in out
    assert "ncnn left out: ncnn is not installed: pip install 'ifrnet-export[ncnn]'" in out
    assert "trt left out: neither tensorrt nor tensorrt-rtx is installed" in out


def test_all_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    hide(monkeypatch, "onnxruntime", *OTHERS)
    assert export_(tmp_path, target="all") == 1
    assert "nothing to build: onnx: onnxruntime is not installed" in capsys.readouterr().err


def test_ncnn_has_no_free_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if reason := to_ncnn.missing():
        pytest.skip(reason)
    assert run("x", main, ["--target", "ncnn", "--dynamic", "--out", str(tmp_path)]) == 1
    assert "target ncnn has no --dynamic: with free sizes pnnx leaves layers that ncnn lacks" in capsys.readouterr().err


@pytest.mark.parametrize("capability", ["90", "8.6", "sm86", "", "86,90"])
def test_compute_capabilities_that_the_builder_lacks(
    capability: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if to_tensorrt.flavour() != "tensorrt-rtx":
        pytest.skip("tensorrt-rtx is not what builds here")
    assert export_(tmp_path, "--sm", capability, target="trt") == 1
    assert "tensorrt-rtx compiles for 75, 80, 86, 89, 120, 121" in capsys.readouterr().err


def test_tensorrt_builds_on_a_gpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_tensorrt, "flavour", lambda: "tensorrt")
    monkeypatch.setattr(runtime, "missing", lambda: "")
    for reason in ("no NVIDIA GPU or driver (cudaErrorNoDevice)", ""):
        monkeypatch.setattr(runtime, "devices", lambda reason=reason: [Device(name="cuda:0", reason=reason)])
        assert to_tensorrt.missing() == reason


def test_capabilities_belong_to_tensorrt_rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_tensorrt, "flavour", lambda: "tensorrt")
    options = ExportOptions(targets=("trt",), compute_capabilities=("86",))
    with pytest.raises(ExportError, match="--sm needs tensorrt-rtx"):
        to_tensorrt.check(options)


def test_layers_that_pnnx_passes_through_are_found() -> None:
    head = "7767517\n3 3\n"
    layers = "Input in0 0 1 in0\npnnx.Expression x 1 1 a b\naten::foo y 1 1 b c\nConvolution z 1 1 c out0\n"
    assert to_ncnn.unknown_layers(head + layers) == ["aten::foo", "pnnx.Expression"]
    assert to_ncnn.unknown_layers(head + "Convolution z 1 1 c out0\n") == []
