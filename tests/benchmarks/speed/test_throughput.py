from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import PROGRAM, main
from benchmarks.report.results_file import Kind, load_results
from benchmarks.speed.parallel_requests import Copies, EagerBatch, OpenVinoQueue
from benchmarks.speed.throughput_rows import ONE
from benchmarks.speed.without_artifact import manifest_without_files
from runtimes.artifact import MANIFEST
from runtimes.base import Runtime
from runtimes.cli import run
from runtimes.contract import Precision, Timesteps
from runtimes.errors import BackendError
from runtimes.frames import Array
from runtimes.shipped import PREFERENCE


class Sleeper(Runtime):
    """Waits 10 ms a call without using a core, so that copies run side by side."""

    def __init__(self, *, broken: bool = False) -> None:
        manifest = manifest_without_files("sleeper", backend="sleeper", timesteps=Timesteps.ANY)
        super().__init__(manifest, backend="sleeper", device="cpu", arithmetic="fp32")
        self._calls, self._broken = 0, broken

    def _infer(self, img0: Array, img1: Array, t: Array) -> Array:
        self._calls += 1
        if self._broken and self._calls > 1:
            raise BackendError("out of memory")
        time.sleep(0.01)
        return img0


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    path = tmp_path / "frames.npz"
    blank = np.full((48, 64, 3), 99, np.uint8)
    np.savez(path, img0=blank, img1=blank)
    return path


def test_copies_add_up(frames: Path) -> None:
    one = Copies(frames, Sleeper, (), 1).run(0.2)
    four = Copies(frames, Sleeper, (), 4).run(0.2)
    assert one.fps == pytest.approx(100.0, rel=0.25)
    assert four.fps == pytest.approx(4 * one.fps, rel=0.35)
    assert four.latency_ms == pytest.approx(one.latency_ms, rel=0.35)


def test_an_error_in_a_copy_is_raised(frames: Path) -> None:
    copies = Copies(frames, lambda: Sleeper(broken=True), (), 2)
    with pytest.raises(BackendError, match="out of memory"):
        copies.run(0.05)


def test_batches_count_every_pair(frames: Path) -> None:
    mode = EagerBatch(frames, "random:ifrnet_s", "cpu", 1, 3)
    turn = mode.run(0.0)
    assert turn.fps == pytest.approx(3e3 / turn.latency_ms, rel=0.5)
    assert mode.ready.detail == "3 in flight"


def test_the_whole_command(artifacts: Path, latency_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    where = ["--size", "64x48", "--model", "random:ifrnet_s", "--threads", "1", "--artifacts", str(artifacts)]
    what = ["--backends", "onnxruntime", "--precisions", "fp32", "--seconds", "0", "--rounds", "1"]
    assert main(["throughput", *where, *what, "--json", str(out)]) == 0
    results = load_results(out, Kind.THROUGHPUT)
    found = {(row["backend"], row["mode"]): row for row in results.rows if row["fps"] is not None}
    assert set(found) == {
        ("pytorch", ONE),
        ("pytorch", "batches of 2"),
        ("onnxruntime", ONE),
        ("onnxruntime", "2 copies, CPU threads 1 each"),
    }
    assert all(row["latency_ms"] > 0 and row["peak_mb"] > 0 for row in found.values())
    assert found["onnxruntime", ONE]["gain"] == 1.0
    assert all(row["reason"] for row in results.rows if row["fps"] is None)
    assert "| x one at a time |" in out.with_suffix(".md").read_text()


@pytest.mark.parametrize(("option", "value"), [("--in-flight", "1"), ("--seconds", "-1"), ("--rounds", "0")])
def test_bad_input_is_one_line(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROGRAM, main, ["throughput", option, value]) == 1
    assert f"{option} " in capsys.readouterr().err


def test_openvino_queue_runs_a_real_int8_artifact(tmp_path: Path) -> None:
    """Until 2026-11-22 it asked for the inference precision ``int8``, which is none: KeyError, and a row was lost."""
    pytest.importorskip("openvino")
    blank = np.full((96, 160, 3), 99, np.uint8)
    np.savez(tmp_path / "frames.npz", img0=blank, img1=blank)
    (int8,) = (item for item in PREFERENCE if (item.target, item.precision) == ("openvino", Precision.INT8))
    mode = OpenVinoQueue(tmp_path / "frames.npz", str(int8.folder), "cpu", 2)
    assert mode.ready.arithmetic in ("int8 with fp32", "int8 with bf16")
    assert mode.run(0.0).fps > 0


def test_openvino_queue_keeps_several_requests_busy(artifact: Callable[..., Path], tmp_path: Path) -> None:
    blank = np.full((96, 160, 3), 99, np.uint8)
    np.savez(tmp_path / "frames.npz", img0=blank, img1=blank)
    mode = OpenVinoQueue(tmp_path / "frames.npz", str(artifact("openvino")), "cpu", 2)
    turn = mode.run(0.1)
    assert turn.fps > 0
    assert turn.latency_ms > 0
    assert mode.ready.arithmetic == "fp32"
    # An int8 artifact says what the rest of it runs in.
    manifest = artifact("openvino") / MANIFEST
    shutil.copytree(manifest.parent, tmp_path / "int8")
    data = json.loads(manifest.read_text()) | {"precision": "int8", "details": {"remainder": "fp32"}}
    (tmp_path / "int8" / MANIFEST).write_text(json.dumps(data))
    assert OpenVinoQueue(tmp_path / "frames.npz", str(tmp_path / "int8"), "cpu", 2).ready.arithmetic == "int8 with fp32"
    assert int(mode.ready.detail.split()[0]) >= 1
