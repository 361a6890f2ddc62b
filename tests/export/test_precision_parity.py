"""Half precision against PyTorch in float32: one table, on frames wider than 2048 px, with large motion.

Half precision goes wrong with width: a normalised sampling position has 11 or 8 bits for the whole frame, so what
passes on small frames is off by pixels on wide ones. The strip costs what a frame of 320x317 costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from export.__main__ import main
from export.declarations import Tolerance
from export.options import ExportOptions
from export.pipeline import Pipeline
from export.targets import target
from export.verify import Reference, judge
from ifrnet import load_model
from runtimes import load
from runtimes.artifact import read_manifest
from runtimes.backends.openvino import choose_hint
from runtimes.cli import run
from runtimes.contract import Precision, Size, SizeRange, Timesteps, Verdict
from runtimes.errors import ParityNotRunWarning

MODEL = "random:ifrnet_s"
"""Weights that no half precision holds exactly, with flows of 10 to 20 px."""

STRIP = Size(2112, 48)

FP16, BF16 = Precision.FP16, Precision.BF16


@dataclass(frozen=True)
class Row:
    """What one artifact does on one device."""

    target: str
    precision: Precision
    device: str
    arithmetic: str  # where the device has it; float32 otherwise
    psnr: float
    max_error: float
    reason: str


WEIGHTS = "only the weights are rounded, by 2^-12 of their size; the arithmetic is float32"
ROWS = (
    Row("onnx", FP16, "cpu", "fp32", 60.0, 0.02, "features are rounded where the casts are"),
    Row("openvino", FP16, "cpu", "fp32", 70.0, 0.02, WEIGHTS),
    Row("openvino", BF16, "cpu", "bf16", 45.0, 0.2, "8 bits for features and what they add to the flow"),
    Row("ncnn", FP16, "cpu", "fp32", 70.0, 0.02, WEIGHTS),
    Row("ncnn", FP16, "vulkan:0", "fp16 storage", 60.0, 0.05, "11 bits for features and what they add to the flow"),
    Row("mnn", FP16, "cpu", "fp32", 66.0, 0.02, WEIGHTS),
    Row("litert", FP16, "cpu", "fp32", 66.0, 0.02, WEIGHTS),
    Row("executorch", FP16, "cpu", "fp16", 60.0, 0.05, "11 bits for features and what they add to the flow"),
    Row("web", FP16, "cpu", "fp32", 66.0, 0.02, WEIGHTS),
    Row("ncnn", BF16, "cpu", "bf16", 45.0, 0.2, "8 bits for features and what they add to the flow"),
)
PRECISIONS = {
    "onnx": (FP16,),
    "openvino": (FP16, BF16),
    "ncnn": (FP16, BF16),
    "mnn": (FP16,),
    "litert": (FP16,),
    "executorch": (FP16,),
    "web": (FP16,),
}

Build = Callable[[str, Precision], Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """``build("ncnn", Precision.FP16)``: all precisions of a target share one traced graph and one reference."""
    made: dict[tuple[str, Precision], Path] = {}

    def make(name: str, precision: Precision) -> Path:
        if (name, precision) not in made:
            if reason := target(name).missing():
                pytest.skip(f"target {name}: {reason}")
            options = ExportOptions(
                targets=(name,),
                precisions=PRECISIONS[name],
                model=MODEL,
                sizes=SizeRange.static(STRIP),
                out=tmp_path_factory.mktemp(name),
            )
            pipeline = Pipeline(options, lambda line: None)
            made.update({(name, job.precision): pipeline.build(job).path for job in pipeline.jobs()})
        return made[name, precision]

    return make


def openvino_arithmetic(precision: Precision) -> str:
    """What this processor has: many x86 ones lack bfloat16, some ARM ones have float16."""
    import openvino

    hint = choose_hint(precision, openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    return {"f32": "fp32", "f16": "fp16"}.get(hint, hint)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(load_model(MODEL), Timesteps.ANY, 1.0)


@pytest.mark.filterwarnings(f"ignore::{ParityNotRunWarning.__module__}.{ParityNotRunWarning.__name__}")
@pytest.mark.parametrize("row", ROWS, ids=[f"{row.target}-{row.precision}-{row.device}" for row in ROWS])
def test_parity(row: Row, build: Build, reference: Reference, require_device: Callable[[str, str], None]) -> None:
    backend = target(row.target).BACKEND
    require_device(backend, row.device)
    tolerance = Tolerance(
        max_error=row.max_error, psnr=row.psnr, block_error=1.0, block_roundings=0.0, reason=row.reason
    )
    with load(build(row.target, row.precision), device=row.device, threads=2) as runtime:
        expected = openvino_arithmetic(row.precision) if backend == "openvino" else row.arithmetic
        assert runtime.spec.arithmetic == expected
        found = judge(runtime, reference, tolerance)
    assert found.verdict is Verdict.PASSED, found.reason
    assert found.arithmetic == expected
    assert [result.t for result in found.results] == [0.25, 0.5]
    assert all(result.median_flow > 8.0 for result in found.results)


def test_the_rows_are_what_the_targets_have() -> None:
    for name, precisions in PRECISIONS.items():
        assert {row.precision for row in ROWS if row.target == name} == set(precisions)
        assert set(precisions) == {FP16, BF16} & set(target(name).TOLERANCES)
    for row in ROWS:
        limit = target(row.target).TOLERANCES[row.precision]
        assert row.psnr >= limit.psnr
        assert row.max_error <= limit.max_error


@pytest.mark.parametrize("name", PRECISIONS)
def test_half_precision_is_half_the_size(name: str, build: Build) -> None:
    """2,803,610 parameters; ExecuTorch's heads stay float32."""
    folder = build(name, FP16)
    weights = 2 * 2_803_610 * {"executorch": 1.1}.get(name, 1.0)
    stored = sum(
        entry["bytes"]
        for file, entry in read_manifest(folder).files.items()
        if file.startswith("model.") and not file.endswith(".xml")
    )
    assert weights <= stored <= 1.12 * weights


@pytest.mark.parametrize("precision", [FP16, BF16])
def test_what_openvino_ran_is_in_the_manifest(precision: Precision, build: Build) -> None:
    executed = read_manifest(build("openvino", precision)).details["executed"]["cpu"]
    hint = {"fp32": "f32", "fp16": "f16"}.get(openvino_arithmetic(precision), "bf16")
    assert executed["hint"] == hint
    assert set(executed["layers"]["Convolution"]) == {hint}
    for kind in ("GridSample", "Interpolate", "Reduce", "Subgraph", "Transpose"):
        assert set(executed["layers"][kind]) == {"f32"}


def test_bfloat16_of_any_size_is_refused_by_openvino(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--target", "openvino", "--bf16", "--dynamic", "--model", MODEL, "--out", str(tmp_path)]
    assert run("python -m export", main, arguments) == 1
    assert "openvino has no --bf16 with --dynamic" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_precision_that_a_target_lacks_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--target", "onnx", "--bf16", "--model", MODEL, "--out", str(tmp_path)]
    assert run("python -m export", main, arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("python -m export: target onnx has no bf16")
    assert error.endswith(f"; it has {', '.join(target('onnx').TOLERANCES)}\n")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
