from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.__main__ import PROGRAM, main
from benchmarks.errors import BenchmarkError
from benchmarks.report.plots import draw
from benchmarks.report.results_file import Kind, Results
from benchmarks.report.tables import markdown, notes, print_results, unmeasured_lines
from runtimes.cli import run

Make = Callable[..., Results]


def test_the_fastest_stands_first(make_results: Make) -> None:
    lines = markdown(make_results({"median_ms": 300.0, "backend": "slow"}, {"median_ms": 100.0})).splitlines()
    rows = [line for line in lines if line.startswith("| slow") or line.startswith("| onnxruntime")]
    assert [row.split()[1] for row in rows] == ["onnxruntime", "slow"]


def test_precisions_with_one_reason_share_a_line(make_results: Make) -> None:
    idle = {"median_ms": None, "device": "gpu", "reason": "no GPU"}
    results = make_results({"precision": "fp32", **idle}, {"precision": "fp16", **idle}, {})
    assert unmeasured_lines(results) == ["onnxruntime fp32/fp16 gpu not measured: no GPU"]


def test_arithmetic_that_differs_is_told(make_results: Make) -> None:
    assert "| fp16 (ran fp32) |" in markdown(make_results({"precision": "fp16", "arithmetic": "fp32"}))


def test_the_share_of_the_limit_names_a_limit_other_than_float32(make_results: Make) -> None:
    rows: tuple[dict[str, object], ...] = (
        {"limit": "fp32", "limit_share": 0.451},
        {"limit": "int8", "limit_share": 0.24},
        {},
    )
    lines = markdown(make_results(*rows)).splitlines()
    assert [line.split(" | ")[9] for line in lines if line.startswith("| onnx")] == ["45%", "24% of int8", "-"]


def test_products_and_memory_stand_in_the_notes(make_results: Make) -> None:
    old = make_results({})
    products = {"fp32": {"torch": 196.0, "onnxruntime": 463.0}, "int8": {"openvino": 1723.0}}
    new = replace(old, summary={**old.summary, "products_gflops": products, "copy_gbps": 12.34})
    text = "\n".join(notes(new))
    assert "fp32 196 (torch), 463 (onnxruntime); int8 1723 (openvino)" in text
    assert "12.3 GB/s" in text
    assert "PyTorch's float32 matrix product on this CPU, in turn with the rows, makes 400 GFLOP/s" in "\n".join(
        notes(old)
    )


def test_a_busy_machine_is_told(make_results: Make) -> None:
    quiet = make_results({})
    busy = replace(quiet, environment={**quiet.environment, "load": 3.0})
    assert not any("busy" in note for note in notes(quiet))
    assert any("busy (load average 3.0" in note for note in notes(busy))


def test_a_narrow_console_cuts_no_figure(make_results: Make) -> None:
    out = io.StringIO()
    print_results(Console(file=out, width=40), make_results({"median_ms": 123.4, "psnr": 98.7}))
    assert all(text in out.getvalue() for text in ("123.4", "98.7", "passed"))


def test_cells_cannot_break_the_table(make_results: Make) -> None:
    assert "a\\|b" in markdown(make_results({"device": "a|b"}))


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_equal_results_make_equal_pictures(make_results: Make, tmp_path: Path, suffix: str) -> None:
    naive = {"form": "naive export", "verdict": "not an artifact", "limit": "fp32", "limit_share": 0.331}
    int8 = {"precision": "int8", "median_ms": 50.0, "psnr_loss": 0.1, "verdict": "failed"}
    results = make_results({}, int8, naive)
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    draw(results, first)
    draw(results, second)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(tmp_path.iterdir()) == [first, second]
    if suffix == ".svg":
        text = first.read_text()
        assert "onnxruntime fp32" in text
        assert "onnxruntime int8 (failed parity)" in text
        assert "onnxruntime fp32 (naive export), 33%" in text


def test_one_point_a_measured_row(make_results: Make, tmp_path: Path) -> None:
    results = make_results({}, {"device": "cuda:0", "median_ms": None})
    draw(results, tmp_path / "a.svg")
    assert "cuda:0" not in (tmp_path / "a.svg").read_text()
    with pytest.raises(BenchmarkError, match="nothing to draw"):
        draw(make_results({"median_ms": None}), tmp_path / "b.png")


def test_the_plot_command(latency_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", str(latency_file), "--out", str(tmp_path / "a.svg")]) == 0
    assert (tmp_path / "a.svg").is_file()
    assert run(PROGRAM, main, ["plot", str(latency_file), "--out", str(tmp_path / "a.gif")]) == 1
    assert "expected a name that ends in .png, .svg, .pdf" in capsys.readouterr().err


def test_throughput_has_no_plot(make_results: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_results({}, kind=Kind.THROUGHPUT).save(tmp_path / "t.json")
    assert run(PROGRAM, main, ["plot", str(tmp_path / "t.json")]) == 1
    assert "holds throughput results; expected latency" in capsys.readouterr().err
