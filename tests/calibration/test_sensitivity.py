"""Sensitivity: parts cover the network, the choice fits the limit, and the command line writes what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from calibration.__main__ import command, main
from calibration.sensitivity import Part, Unit, choose, units
from export.int8.errors import CalibrationError
from export.int8.scales import read_scales
from export.int8.work import layer_work
from ifrnet import VARIANTS
from tests.calibration.moving import Frames, panning

LAYERS = tuple(layer_work(VARIANTS["ifrnet_s"]))


@pytest.mark.parametrize("unit", Unit)
def test_parts_cover_every_layer_once(unit: Unit) -> None:
    parts = units(LAYERS, unit)
    assert [layer for layers in parts.values() for layer in layers] == list(LAYERS)
    assert len(parts) == (len(LAYERS) if unit is Unit.LAYER else 24)


def part(name: str, share: float, alone_db: float, int8: bool = True) -> Part:
    return Part(name=name, layers=(name,), share=share, int8=int8, alone_db=alone_db, left_out_db=None)


def test_what_loses_most_for_its_work_is_left_out_first() -> None:
    losses = {"big": 0.06, "small": 0.08, "fine": 0.01}
    parts = [
        part("big", 0.6, 0.06),
        part("small", 0.1, 0.08),
        part("fine", 0.3, 0.01),
        part("flow", 0.1, 0.0, int8=False),
    ]

    def loss(layers: Sequence[str]) -> float:
        return sum(losses[name] for name in layers)

    assert choose(parts, loss, 1.0) == ("big", "small", "fine")
    assert choose(parts, loss, 0.1) == ("big", "fine")
    assert choose(parts, loss, 0.02) == ("fine",)
    assert choose(parts, loss, 0.0) == ()


def test_the_command_measures_plots_and_writes_scales(
    folder: Callable[[Frames], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = folder(panning(5, size=(64, 96)))
    plot, figures, scales = (tmp_path / name for name in ("p.png", "f.json", "s.json"))
    options = ["--samples", "1", "--threads", "1", "--plot", str(plot), "--json", str(figures), "--out", str(scales)]
    assert main(["sensitivity", "--frames", str(frames), *options, "--max-drop", "5"]) == 0
    assert "decoder1.block" in capsys.readouterr().out
    assert plot.read_bytes().startswith(b"\x89PNG")
    data = json.loads(figures.read_text())
    assert len(data["parts"]) == 24
    assert sum(p["share"] for p in data["parts"]) == pytest.approx(1.0)
    assert any(p["alone_db"] != 0.0 for p in data["parts"])
    found = read_scales(scales)
    assert set(found.scales) == set(data["chosen"])
    command = "python -m calibration sensitivity --by block --max-drop 5 --samples 1 --seed 0"
    assert found.provenance["command"] == command


def test_a_choice_of_nothing_is_shown_and_gives_no_file_of_scales(
    folder: Callable[[Frames], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("calibration.sensitivity.choose", lambda *_: ())
    frames, figures, scales = folder(panning(5, size=(64, 96))), tmp_path / "f.json", tmp_path / "s.json"
    options = ["--samples", "1", "--threads", "1", "--json", str(figures), "--out", str(scales)]
    with pytest.raises(CalibrationError, match="would hold no scales"):
        main(["sensitivity", "--frames", str(frames), *options, "--max-drop", "0"])
    assert "0.0% of the MACs in int8" in capsys.readouterr().out
    assert json.loads(figures.read_text())["chosen"] == []
    assert not scales.exists()


def test_options_that_fit_nothing_are_refused(tmp_path: Path, folder: Callable[[Frames], Path]) -> None:
    frames = folder(panning(3))
    for options in (["--samples", "0"], ["--threads", "0"], ["--seed", "-1"], ["--video", str(frames)]):
        with pytest.raises(CalibrationError):
            main(["scales", "--out", str(tmp_path / "s.json"), *options])
    for value in ("nan", "inf", "-1"):
        with pytest.raises(CalibrationError, match="max-drop"):
            main(["sensitivity", "--max-drop", value])
    with pytest.raises(CalibrationError, match="asked for twice"):
        main(["sensitivity", "--json", str(tmp_path / "s.json"), "--out", str(frames / ".." / "s.json")])
    for option, name, expected in (
        ("--plot", "p.foo", "of no kind that can be drawn"),
        ("--json", "none/f.json", "none does not exist"),
        ("--out", ".", "is a folder"),
    ):
        with pytest.raises(CalibrationError, match=expected):
            main(["sensitivity", "--frames", str(frames), option, str(tmp_path / name)])


def test_a_users_error_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["x", "scales", "--video", "none.mp4", "--out", "x.json"])
    assert command() == 1
    assert capsys.readouterr().err.count("\n") == 1
