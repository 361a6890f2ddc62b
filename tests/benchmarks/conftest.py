from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.report.results_file import Kind, Results, load_results

SIZE = "64x48"
MODEL = "random:ifrnet_s"


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tests of this folder keep their exports."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="session")
def latency_file(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real run of ``latency``, which exports what is missing."""
    path = tmp_path_factory.mktemp("latency") / "small.json"
    where = ["--size", SIZE, "--model", MODEL, "--threads", "1", "--artifacts", str(artifacts)]
    what = ["--backends", "onnxruntime", "tensorrt", "--precisions", "fp32", "--rounds", "3"]
    assert main(["latency", *where, *what, "--json", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def latency(latency_file: Path) -> Results:
    return load_results(latency_file, Kind.LATENCY)


@pytest.fixture
def make_results() -> Callable[..., Results]:
    """Results of a kind with the given rows, whose missing keys are filled in."""

    def make(*rows: dict[str, object], kind: Kind = Kind.LATENCY, **settings: object) -> Results:
        row = {
            "backend": "onnxruntime",
            "precision": "fp32",
            "device": "cpu",
            "noise": 0.01,
            "reason": "",
            "verdict": "passed",
        }
        if kind is Kind.LATENCY:
            row |= {"median_ms": 100.0, "p90_ms": 110.0, "ratio": 1.5, "psnr": 90.0, "psnr_loss": 0.0, "peak_mb": 300.0}
        else:
            row |= {"mode": "one at a time", "fps": 10.0}
        summary = {
            "baseline": {"tried_ms": {"NCHW": 150.0, "channels_last": None}, "faster": "NCHW"},
            "overhead_ms": 0.001,
            "overhead_share": 0.00001,
            "harness_mb": 40.0,
            "network_gflop": 200.0,
            "machine_gflops": 400.0,
            "winner": "onnxruntime fp32 cpu",
        }
        shared = {"model": "m", "size": "64x48", "threads": 1, "timesteps": 1, "schedule": "one frame", "rounds": 3}
        return Results(
            kind=kind,
            command="python -m benchmarks latency",
            settings=shared | settings,
            environment={"cpu": "a", "cores": os.cpu_count(), "load": 0.0, "packages": {"torch": "1"}},
            summary=summary,
            rows=[row | given for given in rows],
        )

    return make
