"""Whole videos at a tiny size, and the clip whose every second frame is taken out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import PROGRAM, main
from benchmarks.errors import BenchmarkError
from benchmarks.report.machine_folder import file_name
from benchmarks.report.results_file import Kind, load_results
from benchmarks.speed import held_out, minterpolate
from benchmarks.speed.held_out import PAN, RATE, SCENE, HeldOut, prepare, score, spread, windows, write_lossless
from benchmarks.speed.minterpolate import WholeFile
from benchmarks.speed.video_rows import Row, RunningVideo, Turn
from export.parity_frames import moving_frame
from ifrnet.footage.errors import FootageError
from ifrnet.footage.video import read_frames
from runtimes.cli import run
from runtimes.contract import Size
from runtimes.frames import to_frame

SIZE = Size(160, 96)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> HeldOut:
    return prepare(SCENE, SIZE, 4, tmp_path_factory.mktemp("clip"), print)


def test_the_whole_command(
    artifact: Callable[..., Path], tmp_path: Path, require_device: Callable[[str, str], None]
) -> None:
    require_device("onnxruntime", "cpu")
    out = tmp_path / "v.json"
    what = ["--artifact", str(artifact("onnx", model="ifrnet_s")), "--size", str(SIZE), "--clip", SCENE]
    assert main(["video", *what, "--frames", "4", "--rounds", "2", "--threads", "1", "--json", str(out)]) == 0
    results = load_results(out, Kind.VIDEO)
    ours, theirs = results.rows
    assert (ours["backend"], ours["precision"], ours["made"]) == ("onnxruntime", "fp32", 4)
    assert ours["fps"] == pytest.approx(float(np.median(ours["samples_fps"])), rel=1e-4)
    assert 0.0 < ours["infer_share"] < 1.0
    assert ours["wall_s"] > ours["seconds"] > 0.0
    assert theirs["made"] >= 3  # the last has no neighbour that the filter waits for
    assert results.summary["compared_frames"] == theirs["made"]
    assert ours["psnr"] > theirs["psnr"] > 20.0  # frames at other times would be far below
    text = out.with_suffix(".md").read_text()
    assert "taken out of the rendered scene and made again" in text
    assert file_name(results) == "video-ifrnet_s-160x96-scene.json"
    assert "| onnxruntime | fp32 |" in text


def test_a_perfect_method_has_no_error_and_a_late_one_has(clip: HeldOut, tmp_path: Path) -> None:
    assert clip.count == 9
    assert score(clip.whole, clip) == dict.fromkeys((1, 3, 5, 7), float("inf"))
    frames = list(read_frames(clip.whole))
    assert [np.array_equal(a, b) for a, b in zip(read_frames(clip.given), frames[::2], strict=True)] == [True] * 5
    write_lossless(tmp_path / "late.mp4", [frames[0], *frames[:-1]], RATE)
    late = score(tmp_path / "late.mp4", clip)
    assert sorted(late) == [1, 3, 5, 7]
    assert max(late.values()) < 30.0
    assert score(clip.given, clip) == {}  # nothing lies at the times that were taken out


def test_only_stretches_without_cuts_and_stops_count() -> None:
    steps = np.array([0.1, 0.1, 0.0, 0.1, 0.1, 0.1, 0.5, 0.1, 0.1], np.float32)
    cuts = steps > 0.4
    assert windows(steps, cuts, 3) == [0, 3, 4, 7]
    assert windows(steps, cuts, 4) == [3]
    assert windows(steps, cuts, 5) == []


def test_stretches_are_spread_from_slow_to_fast_and_do_not_overlap() -> None:
    ranked = [9, 8, 7, 0, 1, 2, 20, 21, 40]  # first frames, the slowest first
    assert spread(ranked, 3, 1) == [1]
    assert spread(ranked, 3, 3) == [8, 1, 21]
    assert spread(ranked, 3, 5) == [9, 0, 20, 40]  # no fifth
    assert spread([], 3, 1) == []


def test_what_lies_between_two_stretches_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six stretches' worth of moving frames in a file stand for a clip of the catalogue."""
    source = tmp_path / "moving.mp4"
    write_lossless(source, [to_frame(moving_frame(SIZE, i / PAN), np.dtype(np.uint8)) for i in range(20)], RATE)
    monkeypatch.setattr(held_out, "fetch", lambda _: source)
    clip = prepare("run", SIZE, 2, tmp_path, print, stretches=2)
    assert (clip.source, clip.count, clip.joins) == ("run", 11, frozenset({5}))
    assert len(list(read_frames(clip.given))) == 6
    frames = list(read_frames(clip.whole))
    assert np.array_equal(frames[4], frames[5])
    assert clip.name.count(" to ") == 2
    with pytest.raises(BenchmarkError, match=r"has \d stretches of 5 frames .* of 9 asked for"):
        prepare("run", SIZE, 2, tmp_path, print, stretches=9)
    with pytest.raises(BenchmarkError, match="--stretches 2: scene has one, ask for more --frames instead"):
        prepare(SCENE, SIZE, 2, tmp_path, print, stretches=2)


def test_the_scene_takes_the_place_of_footage_that_was_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(name: str) -> Path:
        raise FootageError(f"no network for {name}")

    monkeypatch.setattr(held_out, "fetch", fetch)
    told: list[str] = []
    assert prepare(None, SIZE, 1, tmp_path, told.append).name == "the rendered scene"
    assert told == ["bbb cannot be had (no network for bbb): the rendered scene takes its place"]
    with pytest.raises(FootageError, match="no network for run"):
        prepare("run", SIZE, 1, tmp_path, told.append)


def test_a_file_of_the_users_is_cut_to_the_shape(clip: HeldOut, tmp_path: Path) -> None:
    made = prepare(str(clip.whole), Size(64, 64), 2, tmp_path, print)
    assert (made.name, made.count) == ("whole.mp4", 5)
    assert {frame.shape for frame in read_frames(made.whole)} == {(64, 64, 3)}
    with pytest.raises(BenchmarkError, match=r"has 9 frames.*--frames 5 needs 11"):
        prepare(str(clip.whole), SIZE, 5, tmp_path, print)


def test_quality_is_that_of_the_frames_that_all_made() -> None:
    row = RunningVideo(row=Row(backend="a", precision="fp32", device="cpu"))
    row.turns = [Turn(seconds=2.0, wall_s=3.0, infer_fps=2.5), Turn(seconds=1.0, wall_s=2.0, infer_fps=5.0)]
    row.scores = {1: 30.0, 3: 40.0, 5: 10.0}
    found = row.figures([1, 3])
    assert (found.psnr, found.psnr_worst, found.made) == (35.0, 30.0, 3)
    assert found.samples_fps == (1.5, 3.0)
    assert found.infer_share == pytest.approx(0.6)
    row.failure = "no memory"
    assert (row.figures([1]).fps, row.figures([1]).reason) == (None, "no memory")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on PATH")
def test_the_program_makes_what_pyav_makes(clip: HeldOut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = WholeFile()
    assert made.ready == "PyAV"
    assert made.run(clip.given, tmp_path / "a.mp4") > 0.0
    monkeypatch.setattr("av.filter.filters_available", set())
    program = WholeFile()
    assert program.ready == "ffmpeg"
    program.run(clip.given, tmp_path / "b.mp4")
    ours, theirs = (score(tmp_path / name, clip) for name in ("a.mp4", "b.mp4"))
    assert ours.keys() == theirs.keys()
    assert all(abs(ours[index] - theirs[index]) < 1.0 for index in ours)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.raises(BenchmarkError, match="ffmpeg ended with exit code"):
        program.run(tmp_path / "broken.mp4", tmp_path / "c.mp4")


def test_without_filter_and_program_the_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.filter.filters_available", set())
    monkeypatch.setattr(minterpolate.shutil, "which", lambda _: None)  # type: ignore[attr-defined]
    with pytest.raises(BenchmarkError, match="has no minterpolate, and there is no ffmpeg"):
        WholeFile()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "--frames 0: expected 1 to 2000"),
        (["--stretches", "2001"], "--stretches 2001: expected 1 to 2000"),
        (["--frames", "500", "--stretches", "5"], "expected 2000 frames at most"),
        (["--rounds", "0"], "--rounds 0: expected 1 to 100"),
        (["--size", "63x48"], "--size 63x48: expected even sides"),
        (["--json", "a.md"], "expected the name of a file that ends in .json"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROGRAM, main, ["video", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(("clip", "message"), [("nothing.mp4", "or a video file"), ("sintel", "was trained on")])
def test_clips_that_do_not_serve(clip: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out, "fetch", lambda name: tmp_path / name)
    with pytest.raises(BenchmarkError, match=message):
        prepare(clip, SIZE, 1, tmp_path, print)
