from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.__main__ import PROGRAM, main
from benchmarks.report.compare_results import Change, compare, differences
from benchmarks.report.results_file import Kind, Results
from runtimes.cli import run

Make = Callable[..., Results]


def _change(old: Results, new: Results, tolerance: float = 0.05) -> Change:
    (line,) = compare(old, new, tolerance)
    return line.change


@pytest.mark.parametrize(
    ("median_ms", "noise", "expected"),
    [
        (103.0, 0.0, Change.SAME),
        (110.0, 0.01, Change.SLOWER),
        (90.0, 0.01, Change.FASTER),
        (110.0, 0.2, Change.WITHIN_NOISE),
        (110.0, None, Change.SLOWER),  # nothing is known of the noise: the tolerance decides
    ],
)
def test_what_counts_as_a_change(make_results: Make, median_ms: float, noise: float | None, expected: Change) -> None:
    old, new = make_results({"noise": 0.0}), make_results({"median_ms": median_ms, "noise": noise})
    assert _change(old, new) is expected


def test_noise_that_one_row_alone_knows_excuses_nothing(make_results: Make) -> None:
    (line,) = compare(make_results({"noise": 0.5}), make_results({"median_ms": 120.0, "noise": None}), 0.05)
    assert (line.noise, line.change) == (None, Change.SLOWER)


def test_throughput_is_slower_when_fewer_frames_come(make_results: Make) -> None:
    old, new = make_results({}, kind=Kind.THROUGHPUT), make_results({"fps": 8.0}, kind=Kind.THROUGHPUT)
    (line,) = compare(old, new, 0.05)
    assert line.ratio == pytest.approx(1.25)
    assert line.change is Change.SLOWER


def test_rows_that_vanish_or_fail_are_regressions(make_results: Make) -> None:
    assert _change(make_results({}), make_results({"median_ms": None})) is Change.GONE
    assert _change(make_results({}), make_results()) is Change.GONE
    assert _change(make_results({}), make_results({"verdict": "failed"})) is Change.PARITY
    assert _change(make_results(), make_results({})) is Change.NEW


def test_rows_that_never_ran_are_left_out(make_results: Make) -> None:
    assert compare(make_results({"median_ms": None}), make_results({"median_ms": None}), 0.05) == []


def test_the_layout_of_the_baseline_does_not_make_another_row(make_results: Make) -> None:
    old, new = make_results({"form": "NCHW"}), make_results({"form": "channels_last", "median_ms": 50.0})
    assert _change(old, new) is Change.FASTER


def test_a_naive_export_is_another_row_than_the_artifact(make_results: Make) -> None:
    naive = {"form": "naive export", "median_ms": 500.0, "verdict": "not an artifact"}
    lines = compare(make_results({"form": ""}, naive), make_results({"form": "tuned"}, naive), 0.05)
    assert [(line.name, line.change) for line in lines] == [
        ("onnxruntime fp32 cpu", Change.SAME),
        ("onnxruntime fp32 cpu naive export", Change.SAME),
    ]


def test_other_differences_are_told(make_results: Make) -> None:
    old, new = make_results({}), make_results({}, threads=2)
    new.environment["packages"]["torch"] = "2"
    assert differences(old, new) == ["threads differs: 1 before, 2 now", "torch differs: 1 before, 2 now"]


def _run(*arguments: object) -> int:
    return run(PROGRAM, main, ["compare", *map(str, arguments)])


def test_exit_codes(make_results: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, slow, big = tmp_path / "old.json", tmp_path / "slow.json", tmp_path / "big.json"
    make_results({}).save(old)
    make_results({"median_ms": 120.0}).save(slow)
    make_results({}, size="1280x720").save(big)
    assert _run(old, old) == 0
    assert _run(slow, old) == 0
    assert _run(old, slow) == 2
    assert "SLOWER" in capsys.readouterr().out
    assert _run(old, slow, "--tolerance", "0.3") == 0
    assert _run(old, big) == 1
    assert "size 64x48 before, 1280x720 now" in capsys.readouterr().err
    assert _run(old, slow, "--tolerance", "-1") == 1


def test_what_a_file_says_does_not_act_on_the_terminal(
    make_results: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    make_results({}).save(old)
    make_results({"median_ms": None, "reason": "\u202eback\x1b[2J"}, threads="\x07").save(new)
    assert _run(old, new) in (1, 2)
    make_results({"median_ms": None, "reason": "\u202eback\x1b[2J"}).save(new)
    assert _run(old, new) == 2
    said = capsys.readouterr()
    assert r"\u202eback\x1b[2J" in said.out
    assert all(char.isprintable() or char == "\n" for char in said.out + said.err)


def test_kinds_do_not_mix(make_results: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_results({}).save(tmp_path / "a.json")
    make_results({}, kind=Kind.THROUGHPUT).save(tmp_path / "b.json")
    assert _run(tmp_path / "a.json", tmp_path / "b.json") == 1
    assert "holds throughput results; expected latency" in capsys.readouterr().err
