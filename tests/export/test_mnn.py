"""Target mnn: what is read back, what the converter may not do, and the workarounds that can go one day."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export import mnn_converter, to_mnn
from export.errors import ExportError, SentinelError
from export.mnn_layers import SENTINELS, File, check_file
from export.options import ExportOptions
from export.parity_frames import moving_pair
from export.pipeline import Pipeline
from ifrnet import interpolate, load_model
from runtimes import load
from runtimes.artifact import open_artifact, read_manifest
from runtimes.backends import mnn
from runtimes.compare import compare
from runtimes.contract import Precision, Size, SizeRange, Verdict
from runtimes.errors import ArtifactError, BackendError
from runtimes.tuning import Tuning

if reason := to_mnn.missing():
    pytest.skip(reason, allow_module_level=True)

ROOT = Path(__file__).parent.parent.parent

STATIC = SizeRange.static(Size(160, 96))

Layers = list[dict[str, Any]]


@pytest.fixture(scope="module")
def layers() -> Layers:
    """The least that the sentinels look at."""
    warp = {"mode": "BILINEAR", "paddingMode": "CLAMP", "alignCorners": True, "backward": False}
    sizes = {"img0": [1, 3, 96, 160], "img1": [1, 3, 96, 160], "t": [1, 1, 1, 1]}
    inputs = [
        {"type": "Input", "name": name, "main": {"dims": dims, "dtype": "DT_FLOAT", "dformat": "NCHW"}}
        for name, dims in sizes.items()
    ]
    convolutions = [{"type": kind, "name": kind, "main": {"bias": [0.0]}} for kind in ("Convolution", "Deconvolution")]
    constant = {"type": "Const", "name": "grid", "main": {"dataType": "DT_FLOAT"}}
    warps = [{"type": "GridSample", "name": f"warp{i}", "main": dict(warp)} for i in range(8)]
    return [*inputs, *convolutions, constant, *warps, {"type": "ReLU6", "name": "clamp"}]


def file_of(layers: Layers) -> File:
    return File(layers=layers, rounded=[], weights="float32", sizes=STATIC)


def test_a_right_file_passes(layers: Layers) -> None:
    details = check_file(file_of(layers))
    assert details["convolutions"] == {"float32": 2}
    assert details["layers"]["GridSample"] == 8


@pytest.mark.parametrize(
    ("sentinel", "layer", "change"),
    [
        ("mnn-warps", "warp3", {"mode": "NEAREST"}),
        ("mnn-warps", "warp3", {"paddingMode": "ZEROS"}),
        ("mnn-warps", "warp3", {"alignCorners": False}),
        ("mnn-weights", "Convolution", {"quanParameter": {"type": 3}}),
        ("mnn-weights", "Deconvolution", {"quanParameter": {"type": 1}}),
        ("mnn-weights", "Deconvolution", {"quanParameter": {"type": 9}}),
        ("mnn-float32-flow", "grid", {"dataType": "DT_HALF"}),
        ("mnn-inputs", "img1", {"dims": [1, 3, 160, 96]}),
        ("mnn-inputs", "t", {"dtype": "DT_HALF"}),
        ("mnn-inputs", "img0", {"dformat": "NHWC"}),
    ],
)
def test_every_sentinel_fires(sentinel: str, layer: str, change: dict[str, Any], layers: Layers) -> None:
    broken = copy.deepcopy(layers)
    next(item for item in broken if item["name"] == layer)["main"].update(change)
    with pytest.raises(SentinelError, match=f"sentinel {sentinel}: "):
        check_file(file_of(broken))
    assert sentinel in SENTINELS


def test_a_warp_that_is_gone_is_missed(layers: Layers) -> None:
    with pytest.raises(SentinelError, match="sentinel mnn-warps: the file has 7 warps, not 8"):
        check_file(file_of([item for item in layers if item["name"] != "warp0"]))


def test_free_sizes_are_held_to_be_free(layers: Layers) -> None:
    free = SizeRange(minimum=Size(32, 32), typical=Size(160, 96), maximum=Size(300, 300))
    with pytest.raises(SentinelError, match="mnn-inputs"):
        check_file(replace(file_of(layers), sizes=free))


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.INT8])
def test_what_was_built_is_in_the_manifest(precision: Precision, artifact: Callable[..., Path]) -> None:
    details = read_manifest(artifact("mnn", precision=precision)).details
    stored = {"fp32": "float32", "fp16": "float16", "int8": "int8"}[precision]
    assert details["convolutions"] == {stored: 44}
    assert (details["weights"], details["activations"]) == (stored, "float32")
    assert details["hints"] == {"WINOGRAD_MEMORY_LEVEL": 1 if precision is Precision.FP32 else 3, "precision": "high"}
    assert details["warps"] == {"mode": "BILINEAR", "paddingMode": "CLAMP", "alignCorners": True}


@pytest.fixture(scope="module")
def perturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in weights, moved by less than float16 tells apart: as stored, float16 holds them exactly."""
    from safetensors.torch import save_file

    model = load_model("ifrnet_s")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    assert all(torch.equal(value, value.half().float()) for value in state.values())
    torch.manual_seed(0)
    for name, value in state.items():
        state[name] = value * (1.0 + 2.0**-12 * torch.rand_like(value))
    assert not all(torch.equal(value, value.half().float()) for value in state.values())
    path = tmp_path_factory.mktemp("perturbed") / "perturbed.safetensors"
    save_file(state, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps({"sha256": sha256}))
    return path


@pytest.mark.parametrize(
    ("precision", "least", "megabytes"), [(Precision.FP16, 66.0, 6.5), (Precision.INT8, 45.0, 4.5)]
)
def test_weights_that_float16_does_not_hold(
    precision: Precision, least: float, megabytes: float, perturbed: Path, tmp_path: Path
) -> None:
    options = ExportOptions(
        targets=("mnn",),
        precisions=(precision,),
        model=str(perturbed),
        sizes=SizeRange.static(Size(256, 160)),
        out=tmp_path,
    )
    pipeline = Pipeline(options, lambda line: None)
    (job,) = pipeline.jobs()  # without scales: no activation is quantised
    outcome = pipeline.build(job)
    assert outcome.verdict is Verdict.PASSED, outcome.parity
    assert least <= outcome.worst["psnr"] < 100.0, outcome.worst
    assert outcome.bytes <= megabytes * 1e6
    details = read_manifest(outcome.path).details
    assert ("quality" in details) == (precision is Precision.INT8)
    assert "calibration" not in details


def test_the_converter_would_round_sampling_positions(
    artifact: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its --fp16 as it is: once it leaves other constants alone, drop the second conversion of mnn_converter."""
    text = Path(str(mnn_converter.__file__)).read_text()
    changed = text.replace("_save(raw, result, exact)", "_save(raw, result, raw)")
    assert changed != text
    (tmp_path / "plain.py").write_text(changed)
    model = artifact("onnx") / "model.onnx"
    assert to_mnn.convert(model, "float16", tmp_path)[1] == []
    monkeypatch.setattr(mnn_converter, "__file__", str(tmp_path / "plain.py"))
    layers, rounded = to_mnn.convert(model, "float16", tmp_path)
    assert len(rounded) >= 8, "MNN leaves sampling positions alone now"
    trouble = SENTINELS["mnn-float32-flow"](replace(file_of(layers), rounded=rounded))
    assert trouble == f"constant {rounded[0]} and {len(rounded) - 1} more were rounded"


def test_the_default_winograd_is_less_exact_and_each_runtime_keeps_its_own(
    artifact: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MNN keeps one hint for the whole process, so both are loaded before either computes."""
    img0, img1 = moving_pair(Size(160, 96))
    t = torch.full((1, 1, 1, 1), 0.5)
    with torch.inference_mode():
        frames = torch.from_numpy(img0), torch.from_numpy(img1)
        expected = interpolate(load_model("random:ifrnet_s"), frames[0], frames[1], t).numpy()
    whole = open_artifact(artifact("mnn"))
    runtimes = [mnn.open_runtime(whole, "cpu", Tuning(threads=1))]
    monkeypatch.setattr(mnn, "WINOGRAD_LEVELS", {Precision.FP32: 3})
    runtimes.append(mnn.open_runtime(whole, "cpu", Tuning(threads=1)))
    exact, default = (compare(runtime.infer(img0, img1, t.numpy()), expected).psnr for runtime in runtimes)
    assert exact > 115.0
    assert default < exact - 6.0, "MNN's default is as exact now: remove WINOGRAD_LEVELS"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "print('a page'); print('op Foo is unknown'); raise SystemExit(3)",
            "ended with code 3: a page | op Foo is unknown",
        ),
        (
            "import os, signal; print('so far', flush=True); os.kill(os.getpid(), signal.SIGSEGV)",
            "ended with signal 11: so far",
        ),
        ("pass", "ended with code 0"),
    ],
)
def test_a_converter_that_dies_is_one_line(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "script.py").write_text(script)
    monkeypatch.setattr(mnn_converter, "__file__", str(tmp_path / "script.py"))
    with pytest.raises(ExportError) as caught:
        to_mnn.convert(tmp_path / "model.onnx", "float32", tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_onnx_is_refused_by_the_converter(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"garbage")
    with pytest.raises(ExportError, match="MNN's converter ended with "):
        to_mnn.convert(tmp_path / "model.onnx", "float32", tmp_path)


WITHOUT_NETWORK = """
import runpy, sys
REFUSED = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system")
def refuse(event, arguments):
    if event.startswith(REFUSED) or (event == "import" and arguments[0].partition(".")[0] == "MNN"):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(refuse)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print("modules", *sys.modules)
"""


def run_refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT_NETWORK, *arguments], capture_output=True, text=True, cwd=ROOT
    )


def test_the_converter_opens_no_socket_and_leaves_the_packages_of_mnn_alone(
    artifact: Callable[..., Path], tmp_path: Path
) -> None:
    done = run_refused(str(mnn_converter.__file__), str(artifact("onnx") / "model.onnx"), "float16", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "model.mnn").is_file()
    loaded = {name.partition(".")[0] for name in done.stdout.rpartition("modules ")[2].split()}
    assert {"_tools", "_mnncengine"} <= loaded
    assert not loaded & {"MNN", "export", "runtimes", "torch", "requests", "socket", "_socket"}


def test_running_leaves_the_packages_of_mnn_alone(artifact: Callable[..., Path], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import numpy, runtimes\n"
        f"with runtimes.load({str(artifact('mnn'))!r}, threads=1) as runtime:\n"
        "    frame = numpy.zeros((96, 160, 3), numpy.uint8)\n"
        "    runtime.interpolate(frame, frame, [0.25, 0.5])\n"
    )
    done = run_refused(str(script))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not {"MNN", "_tools"} & set(done.stdout.split())


def test_the_refusal_above_refuses(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import socket; socket.create_connection(('192.0.2.1', 9), 0.1)")
    assert run_refused(str(tmp_path / "script.py")).returncode != 0
    (tmp_path / "script.py").write_text("import MNN")
    assert "import" in run_refused(str(tmp_path / "script.py")).stderr


@pytest.mark.parametrize("memory", [True, False])
def test_the_bytes_that_were_checked_are_loaded(
    memory: bool, artifact: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not memory:
        monkeypatch.delattr("os.memfd_create", raising=False)
    whole = open_artifact(artifact("mnn"))
    with load(artifact("mnn"), threads=1) as runtime:
        x = moving_pair(Size(160, 96))
        t = np.full((1, 1, 1, 1), 0.5, np.float32)
        expected = runtime.infer(*x, t)
    elsewhere = replace(whole, folder=Path("/nowhere"))
    with mnn.open_runtime(elsewhere, "cpu", Tuning(threads=1)) as runtime:
        np.testing.assert_array_equal(runtime.infer(*x, t), expected)


def test_a_file_of_other_tensors_is_refused(artifact: Callable[..., Path]) -> None:
    whole = open_artifact(artifact("mnn"))
    renamed = whole.data(".mnn").replace(b"img1", b"imgX")
    assert renamed != whole.data(".mnn")
    with pytest.raises(BackendError, match="MNN cannot load"):
        mnn.open_runtime(replace(whole, contents={"model.mnn": renamed}), "cpu", Tuning())


def test_a_manifest_of_another_size_is_refused(artifact: Callable[..., Path]) -> None:
    whole = open_artifact(artifact("mnn"))
    other = replace(whole.manifest, sizes=SizeRange.static(Size(320, 96)))
    with pytest.raises(ArtifactError, match="the manifest says frames of 320x96, the model takes 1x3x96x160"):
        mnn.open_runtime(replace(whole, manifest=other), "cpu", Tuning())


def test_the_dump_is_what_the_sentinels_expect(artifact: Callable[..., Path], tmp_path: Path) -> None:
    """A file of another MNN would show here first."""
    layers, rounded = to_mnn.convert(artifact("onnx") / "model.onnx", "float32", tmp_path)
    assert rounded == []
    kinds = {layer["type"] for layer in layers}
    assert {"Input", "Convolution", "Deconvolution", "GridSample", "Interp", "Const"} <= kinds
