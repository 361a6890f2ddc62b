from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.__main__ import PROGRAM, main
from benchmarks.errors import BenchmarkError
from benchmarks.options import Selection
from benchmarks.report.results_file import NAIVE, Kind, Results, load_results
from benchmarks.speed.complexity import complexity
from benchmarks.speed.leaderboard import check_timesteps, schedule
from benchmarks.speed.naive_export import NaiveRuntime, naive_rows
from benchmarks.speed.rows import NOT_AN_ARTIFACT, REFERENCE, Row, RunningRow, expected_loss, pick_baselines, winner
from benchmarks.speed.timed_calls import Sample
from benchmarks.speed.worker import Worker
from ifrnet.variants import VARIANTS
from runtimes.artifact import MANIFEST
from runtimes.cli import run
from runtimes.compare import psnr
from runtimes.contract import Size, Timesteps, Verdict
from runtimes.frames import Array

MIDDLE = "MIDDLE"
"""Stands for the path of a checkpoint that serves t = 0.5 only."""

SMALL = ["--size", "64x48", "--model", "random:ifrnet_s", "--threads", "1", "--rounds", "1"]


def _row(results: Results, backend: str, precision: str = "fp32", *, naive: bool = False) -> dict[str, Any]:
    (row,) = (
        row
        for row in results.rows
        if (row["backend"], row["precision"], row["device"]) == (backend, precision, "cpu")
        and (row["form"] == NAIVE) == naive
    )
    return dict(row)


def test_every_row_has_the_promised_keys(latency: Results) -> None:
    for row in latency.rows:
        assert {"backend", "precision", "device", "median_ms", "p90_ms", "ratio", "psnr", "peak_mb"} <= row.keys()
    row = _row(latency, "onnxruntime")
    for key in (
        "median_ms",
        "p90_ms",
        "fps",
        "ratio",
        "host_ms",
        "load_s",
        "first_ms",
        "peak_mb",
        "artifact_mb",
        "noise",
    ):
        assert row[key] > 0, key
    assert row["p90_ms"] >= row["median_ms"]
    assert row["fps"] == pytest.approx(1e3 / row["median_ms"], rel=1e-4)
    assert (row["verdict"], row["arithmetic"]) == ("passed", "fp32")


def test_the_output_is_compared_with_pytorch(latency: Results) -> None:
    row = _row(latency, "onnxruntime")
    assert 80.0 < row["psnr"] < 200.0
    assert 0.0 <= row["psnr_loss"] < 0.01


def test_the_loss_is_what_an_independent_error_costs() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((1, 3, 200, 200))
    reference = truth + rng.normal(0, 0.03, truth.shape)
    output = reference + rng.normal(0, 0.01, truth.shape)
    assert expected_loss(output, reference, truth) == pytest.approx(
        psnr(reference, truth) - psnr(output, truth), abs=0.02
    )
    assert expected_loss(reference, reference, truth) == 0.0


def test_the_baseline_is_the_faster_layout(latency: Results) -> None:
    base, baseline = _row(latency, "pytorch"), latency.summary["baseline"]
    assert set(baseline["tried_ms"]) == {"NCHW", "channels_last"}
    assert base["form"] == baseline["faster"] == min(baseline["tried_ms"], key=baseline["tried_ms"].get)
    assert base["median_ms"] == baseline["tried_ms"][base["form"]]
    assert base["ratio"] == 1.0
    row = _row(latency, "onnxruntime")
    assert row["ratio"] == pytest.approx(base["median_ms"] / row["median_ms"], rel=1e-4)


def test_the_rate_is_the_work_over_the_time_and_stands_beside_that_of_the_machine(latency: Results) -> None:
    work = 2e-9 * complexity(VARIANTS["ifrnet_s"], Size(64, 48)).macs
    assert latency.summary["network_gflop"] == pytest.approx(work, rel=1e-4)
    for row in (_row(latency, "pytorch"), _row(latency, "onnxruntime")):
        assert row["gflops"] == pytest.approx(1e3 * work / row["median_ms"], rel=1e-4)
    assert latency.summary["machine_gflops"] > 1.0  # every machine makes that, busy or not


def test_each_row_has_its_share_of_the_fastest_product(latency: Results) -> None:
    products = latency.summary["products_gflops"]
    assert {"torch", "onnxruntime"} <= products["fp32"].keys()
    best = max(products["fp32"].values())
    assert latency.summary["machine_gflops"] == best
    for row in (_row(latency, "pytorch"), _row(latency, "onnxruntime")):
        assert row["limit"] == "fp32"
        assert row["limit_share"] == pytest.approx(row["gflops"] / best, rel=1e-4)
    assert latency.summary["copy_gbps"] > 0.1


def test_the_naive_export_is_a_row_that_claims_nothing(latency: Results, latency_file: Path) -> None:
    row = _row(latency, "onnxruntime", naive=True)
    assert row["verdict"] == NOT_AN_ARTIFACT
    assert row["median_ms"] > 0
    assert 80.0 < row["psnr"] < 200.0  # the same network, or the comparison is worth nothing
    assert "onnxruntime fp32 cpu naive" not in str(latency.summary["left_out_of_the_winner"])
    assert "| onnxruntime (naive export) | fp32 |" in latency_file.with_suffix(".md").read_text()


def test_the_naive_export_can_be_left_out_and_says_why_it_failed(tmp_path: Path) -> None:
    chosen = Selection(
        model="nothing",
        size=Size(64, 48),
        threads=1,
        backends=("onnxruntime", "openvino"),
        precisions=None,
        devices=None,
        artifacts=tmp_path,
        naive=True,
    )
    assert naive_rows(replace(chosen, naive=False), (), tmp_path, print) == ([], [])
    assert naive_rows(replace(chosen, backends=("ncnn",)), (), tmp_path, print) == ([], [])
    assert naive_rows(replace(chosen, devices=("cuda:0",)), (), tmp_path, print) == ([], [])
    planned, failed = naive_rows(replace(chosen, backends=("onnxruntime",)), ("avx512_bf16",), tmp_path, print)
    assert planned == []
    assert [row.reason.startswith("torch.onnx.export failed: ") for row in failed] == [True]


def test_frames_of_other_sizes_are_padded_outside_the_naive_export() -> None:
    class Sizes(NaiveRuntime):
        def _run(self, values: dict[str, Array]) -> Array:
            self.shape = values["img0"].shape
            return values["img0"]

    runtime = Sizes("onnxruntime", "fp32", "any")
    x = np.random.default_rng(0).random((1, 3, 40, 64), dtype=np.float32)
    assert np.array_equal(runtime.infer(x, x, np.full((1, 1, 1, 1), 0.5, np.float32)), x)
    assert runtime.shape == (1, 3, 48, 64)


def test_pytorch_that_fails_on_a_gpu_is_no_baseline() -> None:
    def running(device: str, median_ms: float | None) -> RunningRow:
        row = Row(backend="pytorch", precision="fp32", device=device)
        samples = [] if median_ms is None else [Sample(inference=median_ms, host=0.0)]
        return RunningRow(row=row, worker=cast(Worker, None), samples=samples, failure="" if samples else "no memory")

    slow, fast, failed = running("cpu", 20.0), running("cpu", 10.0), running("cuda:0", None)
    assert pick_baselines([slow, fast, failed]) == {"cpu": fast}
    with pytest.raises(BenchmarkError, match="PyTorch on the CPU, cannot be measured: no memory"):
        pick_baselines([running("cpu", None), running("cuda:0", 5.0)])


def test_rows_that_cannot_run_say_why(latency: Results) -> None:
    idle = {
        (row["backend"], row["precision"], row["device"]): row["reason"]
        for row in latency.rows
        if row["median_ms"] is None
    }
    assert all(idle.values())
    assert any(row["backend"] == "tensorrt" for row in latency.rows)


def test_the_harness_costs_under_one_percent(latency: Results) -> None:
    assert 0.0 < latency.summary["overhead_share"] < 0.01
    assert latency.summary["harness_mb"] < _row(latency, "onnxruntime")["peak_mb"]


def test_the_environment_and_the_command_are_kept(latency: Results, latency_file: Path) -> None:
    assert latency.environment["cpu"]
    assert {"torch", "onnxruntime", "numpy"} <= latency.environment["packages"].keys()
    assert latency.command.startswith("python -m benchmarks latency --size 64x48 --model random:ifrnet_s")
    assert latency.settings["order"] == "interleaved"
    assert str(latency_file) in latency.command


def test_markdown_and_plot_lie_beside_the_json(latency_file: Path) -> None:
    text = latency_file.with_suffix(".md").read_text()
    assert "| backend | precision | device | median ms |" in text
    assert f"![Latency of ifrnet_s-random0 at 64x48]({latency_file.stem}.png)" in text
    assert "The harness's own cost" in text
    assert latency_file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_fastest_row_does_not_win_where_it_is_not_proved() -> None:
    def row(backend: str, median_ms: float | None, verdict: str) -> Row:
        return Row(backend=backend, precision="fp32", device="cpu", median_ms=median_ms, verdict=verdict)

    base, proved = row("pytorch", 20.0, REFERENCE), row("ncnn", 12.0, Verdict.PASSED)
    others = [row("openvino", 5.0, Verdict.FAILED), row("tensorrt", 6.0, Verdict.NOT_RUN), row("onnxruntime", None, "")]
    assert winner([base, *others]) == base
    assert winner([base, proved, *others]) == proved
    assert winner(others) is None


def test_a_failed_artifact_is_measured_shown_and_never_wins(
    artifacts: Path, latency_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(artifacts, tmp_path / "artifacts")
    manifest = next((tmp_path / "artifacts").glob("*-onnx-fp32-*")) / MANIFEST
    data = json.loads(manifest.read_text())
    data["parity"][0] |= {"verdict": "failed", "reason": "max error 0.5"}
    manifest.write_text(json.dumps(data))
    out = tmp_path / "failed.json"
    what = ["--backends", "onnxruntime", "--precisions", "fp32", "--artifacts", str(tmp_path / "artifacts")]
    assert main(["latency", *SMALL, *what, "--json", str(out)]) == 0
    results = load_results(out, Kind.LATENCY)
    row = _row(results, "onnxruntime")
    assert row["verdict"] == "failed"
    assert results.summary["winner"] == "pytorch fp32 cpu"
    shown = capsys.readouterr().out
    assert "onnxruntime fp32 cpu FAILED PARITY: max error 0.5" in shown
    assert "Fastest with proven output: pytorch fp32 cpu." in shown
    assert "parity failed" in shown


def test_artifacts_of_other_weights_are_refused(
    artifacts: Path, latency_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(artifacts, tmp_path / "artifacts")
    manifest = next((tmp_path / "artifacts").glob("*-onnx-fp32-*")) / MANIFEST
    data = json.loads(manifest.read_text())
    data["checkpoint"]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(data))
    what = ["--backends", "onnx", "--precisions", "fp32", "--artifacts", str(tmp_path / "artifacts")]
    assert run(PROGRAM, main, ["latency", *SMALL, *what]) == 1
    assert "was exported from weights with sha256 000000000000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "0x48"], "argument --size: width is 0"),
        (["--size", "big"], "expected WIDTHxHEIGHT"),
        (["--threads", "0"], "--threads 0: expected 1 to 1024"),
        (["--rounds", "0"], "--rounds 0: expected 1 to 1000"),
        (["--json", "results.md"], "--json results.md: expected the name of a file that ends in .json"),
        (["--json", "/dev/null/results.json"], "/dev/null"),
        (["--backends", "magic"], "--backends magic: there are pytorch, onnxruntime"),
        (["--precisions", "fp64"], "invalid choice: 'fp64'"),
        (["--model", "nothing"], "no model 'nothing'"),
        (["--model", "random:nothing"], "no variant 'nothing'"),
        (["--timesteps", "2", "--model", MIDDLE], "serves t = 0.5 only"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, middle_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(middle_checkpoint) if argument == MIDDLE else argument for argument in arguments]
    code: object
    try:
        code = run(PROGRAM, main, ["latency", *arguments])
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err.strip()
    assert code == 1
    assert message in error
    assert "Traceback" not in error


def test_a_plot_that_cannot_be_drawn_is_told_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("benchmarks.speed.leaderboard.measure", pytest.fail)
    assert run(PROGRAM, main, ["latency", *SMALL, "--json", str(tmp_path / "a.json")]) == 1
    assert "matplotlib, which draws the plot, is not installed" in capsys.readouterr().err


def test_frames_by_halving_come_in_ones_less_than_powers_of_two() -> None:
    for count in (1, 3, 7, 15):
        check_timesteps(count, Timesteps.MIDDLE)
    check_timesteps(5, Timesteps.ANY)
    assert "recursive halving" in schedule(7, Timesteps.MIDDLE)
    assert "t = k / 8" in schedule(7, Timesteps.ANY)


def test_a_row_without_proof_does_not_win() -> None:
    def row(backend: str, median_ms: float | None, verdict: str) -> Row:
        return Row(backend=backend, precision="fp32", device="cpu", median_ms=median_ms, verdict=verdict)

    rows = [row("a", 1.0, "failed"), row("b", 2.0, "not run"), row("c", 3.0, "passed"), row("d", None, "passed")]
    found = winner(rows)
    assert found is not None
    assert found.backend == "c"
    assert winner(rows[:2]) is None
    assert math.isfinite(found.median_ms or math.inf)
