"""A training state as new built-in weights: every file, and a comparison that says where it is worse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import PROGRAM, main
from benchmarks.accuracy import candidate, rigid, scoring
from benchmarks.accuracy.score_log import ScoreLog
from benchmarks.options import AccuracyOptions
from benchmarks.report.results_file import Kind, Results
from export.int8.scales import read_scales
from ifrnet import load_model
from ifrnet.footage import download
from ifrnet.training import loop, state
from ifrnet.training.options import TrainOptions
from runtimes.cli import run
from runtimes.contract import Size


def _weights(*arguments: object) -> int:
    return run(PROGRAM, main, ["weights", "--threads", "1", "--pairs", "1", "--per-clip", "1", *map(str, arguments)])


def test_one_command_makes_every_file_and_says_where_it_is_worse(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "cache_folder", lambda: cache)
    monkeypatch.setattr(rigid.Pans, "distances", (4,))  # the clips of this test are 112x80
    monkeypatch.setattr(rigid.Objects, "distances", (4,))
    monkeypatch.setattr(rigid, "OBJECT", (24, 32))
    monkeypatch.setattr(candidate, "SCENE", Size(112, 80))
    untrained = loop.new_run(TrainOptions(data=("clips=own",)), torch.device("cpu"))
    path = state.save(untrained.snapshot(), tmp_path / "run")
    (tmp_path / "run" / "steps.csv").write_text("step\n")
    folder = tmp_path / "out"
    assert _weights("--state", path, "--output", folder) == 0
    assert sorted(file.name for file in folder.iterdir()) == [
        "footage.json",
        "ifrnet_s.int8.json",
        "ifrnet_s.json",
        "ifrnet_s.safetensors",
        "ifrnet_s.steps.csv",
        "objects.json",
        "pans.json",
    ]
    info = load_model(folder / "ifrnet_s.safetensors").info
    assert info is not None
    assert read_scales(folder / "ifrnet_s.int8.json").checkpoint["sha256"] == info.sha256
    evaluation = json.loads((folder / "ifrnet_s.json").read_text())["evaluation"]
    for part in ("run", "pan by 4 px", "object by 4 px"):
        rows = [row for row in evaluation["rows"] if row["part"] == part]
        assert {row["name"] for row in rows} == {*candidate.BASELINES, "ifrnet_s"}
    assert all(None not in row.values() for row in evaluation["rows"])
    assert str(tmp_path) not in evaluation["command"]
    shown = capsys.readouterr().out
    assert "The candidate is worse than so far in: phone; cup; run; bbb; " in shown
    assert "On a rendered scene of 112x80, of which much leaves the frame (so far, candidate): to the true" in shown
    assert f"cp {folder}/ifrnet_s.int8.json export/int8/scales/ifrnet_s.json" in shown
    assert f"cp {folder}/ifrnet_s.steps.csv benchmarks/results/" in shown
    assert "evaluations.csv" not in shown  # the run has none


def test_rounding_that_moves_the_candidate_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate, "SCENE", Size(112, 80))
    model = load_model("ifrnet_s")
    so_far = candidate.rounding(model)
    assert 15.0 < so_far[0] < 60.0
    assert so_far[1] > 100.0  # float32
    assert 30.0 < so_far[2] < so_far[1] - 20.0  # bfloat16 has 16 bits less
    with torch.no_grad():  # what the last decoder says counts ten times
        for parameter in model.get_submodule("decoder1.convblock.2").parameters():
            parameter.mul_(10.0)
    worse = candidate.rounding(model)
    told, warned = candidate._rounding_lines(so_far, worse)
    assert f"in bfloat16 to float32 {so_far[2]:.1f}, {worse[2]:.1f} dB." in told
    assert warned.startswith("The candidate is more sensitive to rounding than so far")
    assert len(candidate._rounding_lines(so_far, so_far)) == 1


def test_a_dataset_that_is_done_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[str, int]] = []

    def measure(options: AccuracyOptions, arguments: object, progress: object) -> tuple[Results, ScoreLog]:
        journal = ScoreLog(options.journal, {"dataset": options.dataset})
        measured.append((options.dataset, len(journal.windows)))
        if measured[-1] == ("pans", 0):
            raise KeyboardInterrupt
        journal.add("window", [])
        return Results(kind=Kind.ACCURACY, command="", settings={}, environment={}, rows=[], summary={}), journal

    monkeypatch.setattr(scoring, "measure", measure)
    monkeypatch.setattr(candidate, "_calibrate", lambda *_: None)
    monkeypatch.setattr(candidate, "_print", lambda *_: None)
    path = state.save(loop.new_run(TrainOptions(), torch.device("cpu")).snapshot(), tmp_path / "run")
    assert _weights("--state", path, "--output", tmp_path / "out") == 130
    assert measured == [("footage", 0), ("pans", 0)]
    (tmp_path / "out" / "pans.json.partial").write_text('{"dataset": "pans"}\n["window"]\n')
    assert _weights("--state", path, "--output", tmp_path / "out") == 0
    assert measured[2:] == [("footage", 1), ("pans", 1), ("objects", 0)]
    assert not list((tmp_path / "out").glob("*.partial"))


def test_parts_are_compared_with_the_checkpoint_so_far_and_with_dis() -> None:
    figures = {"OpenCV DIS": 30.0, "new so far": 31.0, "new": 30.5, "averaging": 20.0}
    rows = [{"part": "a", "name": name, "samples": 3, "psnr": psnr} for name, psnr in figures.items()]
    rows.append({"part": "at a t that the candidate does not serve", "name": "OpenCV DIS", "samples": 3, "psnr": 30.0})
    assert candidate.compared(rows, "new") == {"a": (3, 30.0, 31.0, 30.5)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "ifrnet_x"], "--name ifrnet_x: expected a built-in model to compare with (ifrnet_s)"),
        (["--pairs", "0"], "--pairs 0: expected 1 to 1024"),
        (["--per-clip", "0"], "--per-clip 0: expected at least 1"),
        ([], "nowhere.pt does not exist; a run writes it every few minutes"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _weights("--state", "nowhere.pt", "--output", tmp_path / "out", *arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
