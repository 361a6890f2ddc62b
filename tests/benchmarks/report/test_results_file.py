from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.report.results_file import FORMAT, Kind, Results, command_line, load_results, write_text

Make = Callable[..., Results]


def test_saved_and_read_again(make_results: Make, tmp_path: Path) -> None:
    results = make_results({"median_ms": 12.5}, {"device": "cuda:0", "median_ms": None, "reason": "no GPU"})
    results.save(tmp_path / "deep" / "a.json")
    assert load_results(tmp_path / "deep" / "a.json", Kind.LATENCY) == results
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.json"]


def test_infinity_becomes_null(make_results: Make, tmp_path: Path) -> None:
    make_results({"noise": float("inf")}).save(tmp_path / "a.json")
    assert load_results(tmp_path / "a.json", Kind.LATENCY).rows[0]["noise"] is None


def test_another_format_version_is_named(make_results: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    make_results({}).save(path)
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', '"format": 99'))
    with pytest.raises(BenchmarkError, match=rf"has format 99, this version reads {FORMAT}: measure again"):
        load_results(path, Kind.LATENCY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a results file"),
        ("[]", "has no format and rows"),
        ('{"format": 1}', "has no format and rows"),
        ("[" * 100_000, "is not a results file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BenchmarkError, match=message):
        load_results(tmp_path / "a.json", Kind.LATENCY)


@pytest.mark.parametrize(
    ("key", "value"),
    [("median_ms", "fast"), ("median_ms", True), ("backend", None), ("psnr", [1]), ("device", 3)],
)
def test_rows_of_wrong_types_are_refused(make_results: Make, tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "a.json"
    make_results({}).save(path)
    data = json.loads(path.read_text())
    data["rows"][0][key] = value
    path.write_text(json.dumps(data))
    with pytest.raises(BenchmarkError, match=f"{key} of row 0"):
        load_results(path, Kind.LATENCY)


@pytest.mark.parametrize("value", [0, -1.0])
def test_times_that_no_ratio_can_be_made_of_are_refused(make_results: Make, tmp_path: Path, value: float) -> None:
    make_results({"median_ms": value}).save(tmp_path / "a.json")
    with pytest.raises(BenchmarkError, match=r"median_ms of row 0 is .*, expected more than 0"):
        load_results(tmp_path / "a.json", Kind.LATENCY)


def test_packages_that_are_no_mapping_are_refused(make_results: Make, tmp_path: Path) -> None:
    results = make_results({})
    replace(results, environment={**results.environment, "packages": True}).save(tmp_path / "a.json")
    with pytest.raises(BenchmarkError, match="is not a results file"):
        load_results(tmp_path / "a.json", Kind.LATENCY)


def test_a_missing_key_is_named(make_results: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    make_results({}).save(path)
    data = json.loads(path.read_text())
    del data["rows"][0]["ratio"]
    path.write_text(json.dumps(data))
    with pytest.raises(BenchmarkError, match="ratio of row 0"):
        load_results(path, Kind.LATENCY)


def test_another_kind_is_refused(make_results: Make, tmp_path: Path) -> None:
    make_results({}, kind=Kind.THROUGHPUT).save(tmp_path / "a.json")
    with pytest.raises(BenchmarkError, match="holds throughput results; expected latency"):
        load_results(tmp_path / "a.json", Kind.LATENCY)


def test_a_missing_file_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no such file; python -m benchmarks latency --json"):
        load_results(tmp_path / "a.json", Kind.LATENCY)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "old"


def test_the_command_line_can_be_pasted() -> None:
    assert command_line("latency", ["--model", "my net.pth"]) == "python -m benchmarks latency --model 'my net.pth'"
