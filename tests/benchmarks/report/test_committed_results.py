"""The figures that the README shows can be read, and say how they were measured."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.report.index import NAME, index
from benchmarks.report.machine_folder import file_name, machine_folder
from benchmarks.report.results_file import Kind, load_results
from benchmarks.report.tables import MEASURED, measured_rows
from ifrnet.weights import BUILTIN

TRIED = "tried.md"
"""What was tried for speed, and what it gave."""

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_the_index_is_that_of_the_files() -> None:
    text = (RESULTS / NAME).read_text(encoding="utf-8")
    assert text == index(RESULTS), "run python -m benchmarks index"
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (RESULTS / link).is_file(), link


def test_every_file_belongs_to_a_result() -> None:
    results = {path.with_suffix("") for path in RESULTS.rglob("*.json")}
    logs = {f"{name}.steps.csv" for name in BUILTIN}  # of the training of what ships
    files = [path for path in RESULTS.rglob("*") if path.is_file() and path.name not in {TRIED, NAME} | logs]
    assert [path.name for path in files if path.with_suffix("") not in results] == []


def test_every_result_is_whole() -> None:
    for path in RESULTS.rglob("*.json"):
        results = load_results(path, *Kind)
        assert results.command.startswith("python -m benchmarks "), path
        gpu = results.command.startswith("python -m benchmarks gpu ")
        if gpu or results.kind is Kind.ACCURACY:
            assert (path.parent.name if gpu else path.name) in results.command, path  # gpu is told the folder
        else:
            assert path == RESULTS / machine_folder(results.environment) / file_name(results)
        assert results.environment["cpu"], path
        assert results.environment["packages"], path
        if results.kind in MEASURED:
            assert measured_rows(results), path
            assert path.with_suffix(".md").is_file(), path
        if results.kind is Kind.LATENCY:
            assert path.with_suffix(".png").is_file() or gpu, path
            assert results.summary["overhead_share"] < 0.01, path
            assert results.summary["winner"], path
