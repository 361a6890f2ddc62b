from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks.options import Selection
from benchmarks.speed import exporting
from benchmarks.speed.exporting import export_all
from benchmarks.speed.time_limit import Stage, TimeLimit
from runtimes.contract import Precision, Size


def selection(artifacts: Path) -> Selection:
    return Selection(
        model="random:ifrnet_s",
        size=Size(64, 48),
        threads=1,
        backends=(),
        precisions=None,
        devices=None,
        artifacts=artifacts,
    )


class OneSecond(TimeLimit):
    """Leaves a second for each thing, again and again."""

    def seconds_left(self, stage: Stage) -> float:
        return 1.0


class Mortal:
    """Stands for an exporter whose process dies of one artifact and hangs on another."""

    ready = True

    def __init__(self, selection: Selection, wanted: object) -> None:
        self._folder = selection.artifacts

    def export(self, name: str, precision: Precision, folder: str) -> None:
        if precision is Precision.FP16:
            os._exit(9)
        if precision is Precision.INT8:
            time.sleep(60.0)
        (self._folder / folder).mkdir()


def test_a_crash_or_a_hang_of_the_exporter_costs_one_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "Exporter", Mortal)
    wanted = {("onnx", precision): precision.value for precision in (Precision.FP32, Precision.FP16, Precision.BF16)}
    failures = export_all(wanted, selection(tmp_path), lambda _: None, TimeLimit())
    assert failures == {("onnx", Precision.FP16): "it could not be exported: its process died (exit code 9)"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bf16", "fp32"]
    wanted = {("onnx", Precision.INT8): "int8", ("ncnn", Precision.FP32): "next"}
    failures = export_all(wanted, selection(tmp_path), lambda _: None, OneSecond())
    assert failures == {("onnx", Precision.INT8): "it could not be exported: no answer within 1 s"}
    assert (tmp_path / "next").is_dir()


def test_what_there_is_no_time_to_export_says_so(tmp_path: Path) -> None:
    wanted = {("onnx", Precision.FP32): "onnx-fp32", ("ncnn", Precision.FP32): "ncnn-fp32"}
    failures = export_all(
        wanted, selection(tmp_path), lambda _: None, TimeLimit(minutes=10.0, start=time.monotonic() - 300.0)
    )
    assert failures.keys() == wanted.keys()
    assert all("could not be exported within --minutes 10" in reason for reason in failures.values())
