"""The command for a machine with a GPU: rehearsed on the CPU, and its choices on devices that are made up."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.__main__ import PROGRAM, main
from benchmarks.errors import BenchmarkError
from benchmarks.options import GpuOptions, LatencyOptions, Selection
from benchmarks.report.progress import Progress
from benchmarks.report.results_file import Kind, Results, load_results
from benchmarks.speed.candidates import Candidate
from benchmarks.speed.gpu_rows import exit_code, rows_to_measure
from benchmarks.speed.rows import PYTORCH, Row
from benchmarks.speed.time_limit import SHARES, Stage, TimeLimit
from benchmarks.speed.timed_calls import load_empty
from benchmarks.speed.turns import PlannedRow, measure_in_turn
from benchmarks.speed.verification import verify_rows
from benchmarks.speed.worker import WorkerError, WorkerTimeoutError
from runtimes.artifact import MANIFEST, describe_files, read_manifest
from runtimes.cli import run
from runtimes.contract import Precision, Size, Timesteps, Verdict
from runtimes.device import Device
from runtimes.proof import FILE as PROOF
from runtimes.registry import BACKENDS

SELECTION = Selection(
    model="random:ifrnet_s",
    size=Size(64, 48),
    threads=1,
    backends=tuple(BACKENDS),
    precisions=None,
    devices=None,
    artifacts=Path("artifacts"),
)

REHEARSAL = ["gpu", "--rehearse", "--size", "64x48", "--model", "random:ifrnet_s", "--threads", "1", "--rounds", "2"]


def options(*, rehearse: bool = False, **selection: object) -> GpuOptions:
    chosen = replace(SELECTION, **selection)  # type: ignore[arg-type]
    return GpuOptions(selection=chosen, minutes=8.0, rounds=1, rehearse=rehearse)


def after(stage: Stage) -> TimeLimit:
    """Ten minutes, of which the share of a stage has just passed."""
    return TimeLimit(minutes=10.0, start=time.monotonic() - 600.0 * SHARES[stage] - 1.0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Devices that are made up: ``machine(ncnn=[...])``; the other backends are not installed."""

    def make(**backends: list[Device]) -> None:
        for name, module in BACKENDS.items():
            reason = "" if name in backends else f"{name} is not installed"
            monkeypatch.setattr(module, "missing", lambda reason=reason: reason)
            monkeypatch.setattr(module, "devices", partial(backends.get, name))

    return make


def test_only_gpus_are_measured_and_float32_first(machine: Callable[..., None]) -> None:
    machine(ncnn=[Device(name="cpu"), Device(name="vulkan:0")], openvino=[Device(name="gpu.1"), Device(name="npu")])
    rows = rows_to_measure(options())
    running = [row for row in rows if row.runnable]
    assert {row.device for row in running} == {"vulkan:0", "gpu.1"}
    order = list(Precision)
    assert [row.precision for row in running] == sorted((row.precision for row in running), key=order.index)
    assert {row.reason for row in rows if row.backend == "tensorrt"} == {"tensorrt is not installed"}


def test_a_rehearsal_measures_the_cpu_too(machine: Callable[..., None]) -> None:
    machine(ncnn=[Device(name="cpu"), Device(name="vulkan:0", description="llvmpipe", software=True)])
    rows = {row.device: row for row in rows_to_measure(options(rehearse=True)) if row.backend == "ncnn"}
    assert rows["cpu"].runnable
    assert "add --devices vulkan:0" in rows["vulkan:0"].reason
    named = rows_to_measure(options(rehearse=True, devices=("cpu", "vulkan:0")))
    assert {row.device for row in named if row.runnable} == {"cpu", "vulkan:0"}


def test_a_precision_that_a_target_lacks_says_so(machine: Callable[..., None]) -> None:
    machine(onnxruntime=[Device(name="cpu"), Device(name="cuda:0")], openvino=[Device(name="gpu")])
    rows = rows_to_measure(options(precisions=(Precision.BF16,)))
    reasons = [row.reason for row in rows if row.backend == "onnxruntime"]
    assert reasons == ["target onnx has no bf16; it has fp32, fp16, int8"]


def test_a_machine_without_a_gpu_says_what_was_looked_for(
    machine: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(ncnn=[Device(name="cpu"), Device(name="vulkan:0", reason="no Vulkan device")])
    out = tmp_path / "out"
    assert run(PROGRAM, main, ["gpu", "--out", str(out)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "ncnn vulkan:0: no Vulkan device" in line
    assert "tensorrt is not installed" in line
    assert line.endswith("--rehearse does the same on the CPU")
    assert not out.exists()
    with pytest.raises(BenchmarkError, match="has a device of that name"):
        rows_to_measure(options(backends=("ncnn",), devices=("cuda:9",)))


def test_the_whole_command(artifacts: Path, latency_file: Path, tmp_path: Path) -> None:
    what = ["--backends", "onnxruntime", "--precisions", "fp32", "--artifacts", str(artifacts)]
    assert main([*REHEARSAL, *what, "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu.json", "gpu.md"]
    results = load_results(tmp_path / "gpu.json", Kind.LATENCY)
    rows = {(row["backend"], row["device"]): row for row in results.rows}
    assert rows["onnxruntime", "cpu"]["median_ms"] > 0
    assert rows["onnxruntime", "cpu"]["verdict"] == "passed"
    assert rows["pytorch", "cpu"]["ratio"] == 1.0
    assert all(row["reason"] for row in results.rows if row["median_ms"] is None)
    (verified,) = results.summary["verified"]
    assert (verified["device"], verified["verdict"], verified["arithmetic"]) == ("cpu", "passed", "fp32")
    assert verified["psnr"] > 80.0
    assert results.settings["rehearsal"] is True
    assert {"onnxruntime"} == {device["backend"] for device in results.environment["devices"]}
    text = (tmp_path / "gpu.md").read_text()
    assert "| onnxruntime | fp32 | cpu |" in text
    assert "onnx-fp32-64x48 on cpu (ran fp32) passed, largest error" in text
    assert "devices: onnxruntime cpu ONNX Runtime" in text


def test_a_failed_artifact_is_measured_all_the_same(artifacts: Path, latency_file: Path, tmp_path: Path) -> None:
    (source,) = artifacts.glob("*-onnx-fp32-64x48")
    shutil.copytree(source, tmp_path / "failed", ignore=shutil.ignore_patterns("verdicts.json"))
    proof = bytearray((tmp_path / "failed" / PROOF).read_bytes())
    proof[-400:] = np.full(100, 0.25, "<f4").tobytes()
    (tmp_path / "failed" / PROOF).write_bytes(proof)
    manifest = replace(read_manifest(source), files=describe_files(tmp_path / "failed"))
    (tmp_path / "failed" / MANIFEST).write_text(manifest.to_json())
    (row,), (found,) = verify_rows([candidate(tmp_path / "failed")], lambda _: None, TimeLimit())
    assert (row.runnable, row.verdict) == (True, Verdict.FAILED)
    assert "max error" in row.reason
    assert found.verdict is Verdict.FAILED  # which makes the exit code, see below


@pytest.mark.parametrize(
    ("rows", "verdict", "code"),
    [
        ([{"backend": "pytorch"}, {"backend": "ncnn", "median_ms": None}], "passed", 1),
        ([{"backend": "pytorch"}, {"backend": "ncnn"}], "not run", 0),
        ([{"backend": "pytorch"}, {"backend": "ncnn", "median_ms": None}], "failed", 2),
    ],
)
def test_exit_codes(
    make_results: Callable[..., Results], rows: list[dict[str, object]], verdict: str, code: int
) -> None:
    assert exit_code(replace(make_results(*rows), summary={"verified": [{"verdict": verdict}]})) == code


@pytest.mark.parametrize(("option", "value"), [("--minutes", "0"), ("--minutes", "nan"), ("--rounds", "0")])
def test_bad_input_is_one_line(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROGRAM, main, ["gpu", option, value]) == 1
    assert f"{option} {value}: expected" in capsys.readouterr().err


def test_stages_end_in_their_order_and_before_the_time_is_over() -> None:
    limit = TimeLimit(minutes=1.0)
    left = [limit.seconds_left(stage) for stage in Stage]
    assert left == sorted(left)
    assert 0.0 < left[0] < left[-1] < 60.0
    assert not any(map(limit.reason, Stage))
    assert not any(map(TimeLimit().reason, Stage))
    assert "could not be exported within --minutes 10" in after(Stage.EXPORT).reason(Stage.EXPORT)
    assert after(Stage.EXPORT).reason(Stage.VERIFY) == ""


def test_lack_of_time_is_told_from_failures() -> None:
    late = after(Stage.VERIFY)
    assert "within --minutes 10" in late.explain(WorkerTimeoutError("no answer within 3 s"), Stage.VERIFY)
    assert late.explain(WorkerError("died"), Stage.VERIFY) == "it could not be verified: died"
    assert TimeLimit().explain(WorkerTimeoutError("no answer"), Stage.LOAD) == "it could not be loaded: no answer"


def candidate(artifact: Path) -> Candidate:
    return Candidate(
        target="onnx", backend="onnxruntime", precision=Precision.FP32, device="cpu", runnable=True, artifact=artifact
    )


def test_what_cannot_be_verified_is_not_measured(tmp_path: Path) -> None:
    rows, found = verify_rows([candidate(tmp_path)], lambda _: None, TimeLimit())
    assert (rows[0].runnable, rows[0].verdict, found) == (False, Verdict.NOT_RUN, [])
    assert "it could not be verified: " in rows[0].reason
    assert "is not an artifact" in rows[0].reason
    rows, found = verify_rows([candidate(tmp_path)], lambda _: None, after(Stage.VERIFY))
    assert not rows[0].runnable
    assert "could not be verified within --minutes 10" in rows[0].reason


def _measured(limit: TimeLimit) -> tuple[dict[str, str], int]:
    """Reasons of a PyTorch row and an artifact's row, which both do nothing, and the complete rounds."""
    planned = [
        PlannedRow(
            row=Row(backend=name, precision="fp32", device="cpu"), load=load_empty, arguments=(Timesteps.ANY.value,)
        )
        for name in (PYTORCH, "onnxruntime")
    ]
    latency = LatencyOptions(selection=SELECTION, rounds=2, warmup=0, timesteps=1)
    with Progress(Console(quiet=True)) as progress:
        measured = measure_in_turn(planned, latency, progress, limit)
    reasons = {running.row.backend: running.failure for running in measured.running}
    return reasons | {row.backend: row.reason for row in measured.left_out}, measured.rounds


def test_rows_for_which_there_is_no_time_say_so() -> None:
    assert _measured(TimeLimit()) == ({PYTORCH: "", "onnxruntime": ""}, 2)
    reasons, rounds = _measured(after(Stage.LOAD))
    assert reasons[PYTORCH] == ""
    assert rounds == 2
    assert "could not be loaded within --minutes 10" in reasons["onnxruntime"]
    reasons, rounds = _measured(after(Stage.ROUNDS))
    assert rounds == 0
    assert "could not be measured within --minutes 10" in reasons[PYTORCH]
