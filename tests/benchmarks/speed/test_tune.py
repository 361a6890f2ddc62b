"""The search on times that are made up, and the command on a real artifact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.__main__ import PROGRAM, main
from benchmarks.speed import tune
from benchmarks.speed.tune import Search, Trial, candidates, changed
from runtimes.cli import run
from runtimes.tuning import FILE, Tuning


def test_threads_come_first_and_defaults_are_not_tried() -> None:
    found = candidates({"a": (True, False), "b": (1, 2, 3)}, 8)
    assert found == [("threads", 1), ("threads", 4), ("threads", 7), ("threads", 16), ("a", False), ("b", 2), ("b", 3)]
    assert candidates({}, 1) == [("threads", 2)]


def test_one_thing_changes() -> None:
    before = Tuning(threads=2, settings={"a": 1})
    assert changed(before, "threads", 4) == Tuning(threads=4, settings={"a": 1})
    assert changed(before, "b", True) == Tuning(threads=2, settings={"a": 1, "b": True})


def search(speed: Callable[[Tuning], float], noise: float = 0.0) -> Search:
    """A search whose runs take 1 / speed(tuning)."""
    found = Search.__new__(Search)
    found.default = found.best = Tuning(threads=2)
    found.gain, found._least = 1.0, 0.02
    found._candidates = candidates({"a": (False, True), "b": (0, 1)}, 2)
    found._compare = lambda best, candidate: Trial(tuning=candidate, ratio=speed(candidate) / speed(best), noise=noise)  # type: ignore[method-assign]
    return found


def test_gains_are_kept_and_the_whole_is_measured() -> None:
    found = search(lambda t: 1.0 + 0.1 * float(t.settings.get("a", 0)) + 0.2 * float(t.settings.get("b", 0)))
    assert len(list(found.run(lambda _: None))) == 4
    assert found.best == Tuning(threads=2, settings={"a": True, "b": 1})
    assert found.gain == pytest.approx(1.3)


def test_what_is_within_the_noise_is_not_kept() -> None:
    found = search(lambda t: 1.0 + 0.1 * float(t.settings.get("a", 0)), noise=0.15)
    list(found.run(lambda _: None))
    assert found.best == found.default


def test_steps_that_do_not_add_up_are_dropped() -> None:
    found = search(lambda t: 1.0)
    ratios = iter([1.1, 1.1, 1.1, 1.1, 0.99])
    found._compare = lambda best, candidate: Trial(tuning=candidate, ratio=next(ratios))  # type: ignore[method-assign]
    list(found.run(lambda _: None))
    assert (found.best, found.gain) == (found.default, 1.0)


def test_other_frames_and_failures_are_not_kept() -> None:
    found = search(lambda t: 1.0)
    found._compare = lambda best, candidate: Trial(tuning=candidate, ratio=9.0, reason="gives other frames: 20.0 dB")  # type: ignore[method-assign]
    list(found.run(lambda _: None))
    assert found.best == found.default


def test_the_whole_command(
    artifacts: Path,
    latency_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (source,) = artifacts.glob("*-onnx-fp32-64x48")
    path = tmp_path / "artifact"
    shutil.copytree(source, path)
    monkeypatch.setattr(tune, "candidates", lambda *_: [("threads", 1), ("session.set_denormal_as_zero", "1")])
    assert run(PROGRAM, main, ["tune", str(path), "--rounds", "2"]) == 0
    shown = capsys.readouterr().out
    assert "threads=1: " in shown
    assert f"wrote {path / FILE}" in shown
    assert json.loads((path / FILE).read_text())["conditions"]["backend"] == "onnxruntime"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not an artifact"),
        (["nowhere", "--rounds", "1"], "--rounds 1: expected 2 to 1000"),
        (["nowhere", "--gain", "2"], "--gain 2: expected a share from 0 to below 1"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROGRAM, main, ["tune", *arguments]) == 1
    assert message in capsys.readouterr().err
