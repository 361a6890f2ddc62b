"""``--ort``: what is read back from the file, that it is the same each time, and that it runs like any other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import pytest

from export.__main__ import main
from export.errors import ExportError, SentinelError
from export.options import ExportOptions
from export.ort_file import LEVEL, NAME, SENTINELS, File, Node, check_file, optimise, ordered, read_file, write_ort
from export.parity_frames import moving_pair
from export.pipeline import Pipeline
from runtimes import load, verify
from runtimes.artifact import MANIFEST, open_artifact
from runtimes.backends import onnxruntime as backend
from runtimes.cli import run
from runtimes.contract import Precision, Size, SizeRange, Verdict
from runtimes.errors import BackendError, DeviceUnavailableError
from runtimes.tuning import Tuning
from tests.conftest import DYNAMIC

onnxruntime = pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def model(artifact: Callable[..., Path]) -> bytes:
    return (artifact("onnx") / "model.onnx").read_bytes()


@pytest.fixture(scope="module")
def ort(model: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("ort")
    write_ort(model, folder)
    return (folder / NAME).read_bytes()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of random weights for any t at 160x96."""
    return build(tmp_path_factory.mktemp("artifact"), SizeRange.static(Size(160, 96)), Precision.FP32)


def build(out: Path, sizes: SizeRange, precision: Precision) -> Path:
    options = ExportOptions(
        targets=("onnx",),
        precisions=(precision,),
        model="ifrnet_s" if precision is Precision.INT8 else "random:ifrnet_s",
        sizes=sizes,
        out=out,
        ort=True,
    )
    pipeline = Pipeline(options, lambda line: None)
    (job,) = pipeline.jobs()
    outcome = pipeline.build(job)
    assert outcome.verdict is Verdict.PASSED, outcome.parity
    return outcome.path


def check(path: Path, precision: Precision) -> None:
    """The artifact holds one model file, tells what it is, and proves itself."""
    assert path.name.endswith("-ort")
    assert sorted(item.name for item in path.iterdir()) == [MANIFEST, NAME, "proof.dat"]
    details = open_artifact(path).manifest.details["ort"]
    assert details["optimization"] == LEVEL == "extended"
    assert details["onnxruntime"] == onnxruntime.__version__
    assert details["warps"] == {"mode": "bilinear", "padding_mode": "border", "align_corners": 1}
    assert details["operators"]["GridSample"] == 4
    assert ("Cast" in details["operators"]) or precision is not Precision.FP16
    assert ("DequantizeLinear" in details["operators"]) == (precision is Precision.INT8)
    assert verify(path).verdict is Verdict.PASSED


def test_a_static_one(small: Path) -> None:
    check(small, Precision.FP32)


@pytest.mark.parametrize(
    ("precision", "sizes", "megabytes"),
    [
        (Precision.FP32, DYNAMIC, 12.0),
        (Precision.FP16, SizeRange.static(Size(160, 96)), 6.5),
        (Precision.INT8, SizeRange.static(Size(160, 96)), 7.5),  # its float weights are unfolded
    ],
    ids=["fp32-dynamic", "fp16", "int8"],
)
def test_free_sizes_and_the_other_precisions(
    precision: Precision, sizes: SizeRange, megabytes: float, tmp_path: Path
) -> None:
    path = build(tmp_path, sizes, precision)
    check(path, precision)
    assert (path / NAME).stat().st_size <= megabytes * 1e6


def test_several_times_are_whole_runs(small: Path) -> None:
    img0, img1 = moving_pair(Size(160, 96))
    steps = np.array([0.25, 0.5], np.float32).reshape(-1, 1, 1, 1)
    with load(small, threads=1) as runtime:
        together = runtime.infer(img0, img1, steps)
        single = [runtime.infer(img0, img1, steps[i : i + 1]) for i in range(2)]
        np.testing.assert_array_equal(together, np.concatenate(single))
        assert runtime._halves is None


def test_other_devices_are_refused(small: Path) -> None:
    with pytest.raises(DeviceUnavailableError, match="optimised for CPUs: export without --ort for cuda:0"):
        backend.open_runtime(open_artifact(small), "cuda:0", Tuning())


def test_a_damaged_file_is_one_line(small: Path) -> None:
    whole = open_artifact(small)
    with pytest.raises(BackendError, match="ONNX Runtime cannot load") as caught:
        backend.open_runtime(replace(whole, contents={NAME: whole.data(".ort")[:4096]}), "cpu", Tuning())
    assert "\n" not in str(caught.value)


def test_the_same_bytes_in_another_process(model: bytes, ort: bytes, tmp_path: Path) -> None:
    """ONNX Runtime's own file differs from run to run; the graph within does not."""
    (tmp_path / "model.onnx").write_bytes(model)
    code = (
        "import sys; from pathlib import Path; from export.ort_file import optimise, write_ort\n"
        "folder = Path(sys.argv[1]); model = (folder / 'model.onnx').read_bytes()\n"
        "write_ort(model, folder); optimise(model, folder / 'raw.ort')"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "17"},
    )
    assert (tmp_path / NAME).read_bytes() == ort
    raw = (tmp_path / "raw.ort").read_bytes()
    assert raw != ort
    assert ordered(raw) == ordered(ort) == ort
    assert read_file(raw) == read_file(ort)


def test_what_is_put_in_order_computes_the_same(model: bytes, ort: bytes, tmp_path: Path) -> None:
    optimise(model, tmp_path / "raw.ort")
    img0, img1 = moving_pair(Size(160, 96))
    inputs = {"img0": img0, "img1": img1, "t": np.full((1, 1, 1, 1), 0.5, np.float32)}
    outputs = [
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, inputs)[0]
        for data in ((tmp_path / "raw.ort").read_bytes(), ort)
    ]
    np.testing.assert_array_equal(*outputs)


def test_a_file_for_this_machine_alone_is_refused(model: bytes, tmp_path: Path) -> None:
    optimise(model, tmp_path / NAME, "all")
    file = read_file((tmp_path / NAME).read_bytes())
    if not any("nchwc" in node.domain for node in file.nodes):
        pytest.skip("ONNX Runtime has no layout of its own for this processor")
    with pytest.raises(SentinelError, match="sentinel ort-layout: the file is laid out for this machine"):
        check_file(file)


def test_what_is_no_such_file_is_refused(model: bytes) -> None:
    with pytest.raises(SentinelError, match="sentinel ort-identifier: the file has"):
        read_file(model)


@pytest.mark.parametrize(("attribute", "value"), [("mode", "nearest"), ("padding_mode", "zeros"), ("align_corners", 0)])
def test_a_warp_that_samples_otherwise_is_seen(attribute: str, value: str | int, model: bytes, tmp_path: Path) -> None:
    graph = onnx.load_from_string(model)
    warp = next(node for node in graph.graph.node if node.op_type == "GridSample")
    next(item for item in warp.attribute if item.name == attribute).CopyFrom(
        onnx.helper.make_attribute(attribute, value)
    )
    with pytest.raises(SentinelError, match=f"sentinel ort-warps: .*'{attribute}': {value!r}"):
        write_ort(graph.SerializeToString(), tmp_path)


def changed(file: File, **fields: object) -> File:
    return replace(file, **fields)  # type: ignore[arg-type]


def test_every_other_sentinel_fires(ort: bytes) -> None:
    file = read_file(ort)
    assert check_file(file)["format"]
    gone = changed(file, nodes=tuple(node for node in file.nodes if node.kind != "GridSample"))
    assert SENTINELS["ort-warps"](gone) == "the file has 0 warps, not 8 (or 4 of pairs)"
    swapped = changed(file, names=(("img1", "img0", "t"), ("imgt",)))
    assert "inputs and outputs are" in SENTINELS["ort-names"](swapped)
    node = Node(name="x", domain="com.ms.internal.nhwc", kind="Conv", attributes=MappingProxyType({}))
    assert "Conv" in SENTINELS["ort-layout"](changed(file, nodes=(*file.nodes, node)))


def test_what_onnxruntime_does_not_take_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"ONNX Runtime cannot save model\.ort") as caught:
        write_ort(b"garbage", tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_option_belongs_to_onnx(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("python -m export", main, ["--target", "openvino", "--ort"]) == 1
    assert (
        capsys.readouterr().err == "python -m export: --ort belongs to --target onnx; pass that too, or leave it out\n"
    )


def test_both_files_of_a_network_have_room() -> None:
    options = ExportOptions(targets=("onnx", "mnn"), ort=True)
    assert options.artifact_name("m", "onnx", Precision.FP32) == "m-onnx-fp32-1280x720-ort"
    assert options.artifact_name("m", "mnn", Precision.FP32) == "m-mnn-fp32-1280x720"


def test_a_copy_with_both_kinds_is_not_ambiguous(small: Path, tmp_path: Path) -> None:
    """The manifest lists the files; what it does not list is not read."""
    folder = tmp_path / "copy"
    shutil.copytree(small, folder)
    (folder / "model.onnx").write_bytes(b"stray")
    assert "model.onnx" not in json.loads((folder / MANIFEST).read_text())["files"]
    with load(folder, threads=1) as runtime:
        assert runtime.spec.backend == "onnxruntime"
