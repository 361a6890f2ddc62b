"""The figures that the README shows can be read, and say how they were measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report.results_file import Kind, load_results
from benchmarks.report.tables import MEASURED, measured_rows

TRIED = "tried.md"
"""What was tried for speed, and what it gave."""

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_every_file_belongs_to_a_result() -> None:
    results = {path.with_suffix("") for path in RESULTS.rglob("*.json")}
    files = [path for path in RESULTS.rglob("*") if path.is_file() and path.name != TRIED]
    assert [path.name for path in files if path.with_suffix("") not in results] == []


def test_every_result_is_whole() -> None:
    for path in RESULTS.rglob("*.json"):
        results = load_results(path, *Kind)
        assert results.command.startswith("python -m benchmarks "), path
        gpu = results.command.startswith("python -m benchmarks gpu ")
        assert (path.parent.name if gpu else path.name) in results.command, path  # gpu is told the folder
        assert results.environment["cpu"], path
        assert results.environment["packages"], path
        if results.kind in MEASURED:
            assert measured_rows(results), path
            assert path.with_suffix(".md").is_file(), path
        if results.kind is Kind.LATENCY:
            assert path.with_suffix(".png").is_file() or gpu, path
            assert results.summary["overhead_share"] < 0.01, path
            assert results.summary["winner"], path
