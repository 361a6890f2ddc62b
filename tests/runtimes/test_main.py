"""The command line of the runtimes, on real artifacts."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

import runtimes
from runtimes.__main__ import COMMANDS, main
from runtimes.artifact import read_manifest
from runtimes.cli import INTERRUPTED, run
from runtimes.contract import Size, Timesteps
from runtimes.registry import BACKENDS
from runtimes.video.color import Color, Converter
from runtimes.video.stills import read_image, write_image
from tests.runtimes.video.clips import Blender, Clip, draw, even, read_video, write_artifact, write_clip

SIZE = Size(160, 96)

Artifacts = Callable[..., Path]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two images of a moving picture."""
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for i, path in enumerate(paths):
        write_image(draw(3 * i, SIZE), path)
    return paths


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run("python -m runtimes", main, [str(item) for item in arguments]) == 1
    return capsys.readouterr().err.splitlines()[-1]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)


def test_names_after_two_dashes_may_begin_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = failure(capsys, "video", "--", "-in.mp4", "-out.mp4")
    assert said.startswith("python -m runtimes: -in.mp4 does not exist")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(COMMANDS[name][0]).main(["--help"])
    assert stopped.value.code == 0
    assert f"python -m runtimes {name}" in capsys.readouterr().out


def test_only_the_command_asked_for_is_imported() -> None:
    code = (
        "import sys; from runtimes.__main__ import main; main(['devices']); "
        "print([name for name in sys.modules if 'video' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [[], ["dance"], ["info"]])
def test_usage_errors_are_one_line_and_exit_code_1(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_ctrl_c_is_one_whatever_a_library_makes_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Extension modules raise an ImportError where they are interrupted as they are imported."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background

    def imports(arguments: object) -> int:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("numpy failed to import") from None
        return 0

    try:
        assert run("ifrnet", imports, []) == INTERRUPTED
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "ifrnet: interrupted\n"


def test_devices_says_what_is_missing_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == set(BACKENDS)
    assert all("  ready: " in line or len(line.partition("  missing: ")[2]) > 10 for line in lines)


def test_info_shows_the_verdicts(artifact: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    folder = artifact("onnx")
    assert main(["info", str(folder)]) == 0
    said = capsys.readouterr().out
    for expected in ("160x96", "ifrnet_s", "any t", "cpu (fp32): passed; max error", "sha256 verified"):
        assert expected in said
    assert main(["info", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == folder.name
    assert "is not an artifact" in failure(capsys, "info", folder.parent)


def test_interpolate_writes_the_runtimes_frame(artifact: Artifacts, pair: tuple[Path, Path], tmp_path: Path) -> None:
    folder, target = artifact("onnx"), tmp_path / "mid.png"
    arguments = [
        "interpolate",
        *map(str, pair),
        "-o",
        str(target),
        "--artifact",
        str(folder),
        "--t",
        "0.25",
        "--threads",
        "1",
    ]
    assert main(arguments) == 0
    with runtimes.load(folder, threads=1) as runtime:
        expected = runtime.interpolate(read_image(pair[0]), read_image(pair[1]), 0.25)
    assert np.array_equal(read_image(target), expected)
    assert not np.array_equal(expected, read_image(pair[0]))


def test_interpolate_needs_no_pyav(artifact: Artifacts, pair: tuple[Path, Path], tmp_path: Path) -> None:
    code = "import sys; sys.modules['av'] = None; from runtimes.__main__ import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["interpolate", *map(str, pair), "-o", str(tmp_path / "mid.png"), "--artifact", str(artifact("onnx"))]
    assert subprocess.run([sys.executable, "-c", code, *arguments], check=False).returncode == 0
    assert (tmp_path / "mid.png").exists()


def test_interpolate_refuses(
    artifact: Artifacts, pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, (a, b) = artifact("onnx"), pair
    small, target = tmp_path / "small.png", tmp_path / "mid.png"
    write_image(draw(0, Size(80, 48)), small)
    (tmp_path / "text.png").write_text("a thousand words")
    base = ["-o", target, "--artifact", folder]
    assert "--size 80x48, or with --dynamic" in failure(capsys, "interpolate", small, small, *base)
    assert "the frames differ" in failure(capsys, "interpolate", a, small, *base)
    assert "cannot be read as an image" in failure(capsys, "interpolate", a, tmp_path / "text.png", *base)
    assert "none.png does not exist" in failure(capsys, "interpolate", a, tmp_path / "none.png", *base)
    for t in ("1.5", "1e400", "0", "nan"):
        with pytest.raises(SystemExit) as stopped:
            main(["interpolate", str(a), str(b), *map(str, base), "--t", t, "--halve"])
        assert stopped.value.code == 1
        assert "expected 0 < t < 1" in capsys.readouterr().err
    missing = failure(capsys, "interpolate", a, b, "-o", tmp_path / "none" / "mid.png", "--artifact", folder)
    assert f"{tmp_path / 'none'} does not exist: make that folder" in missing
    assert "no device 'tpu:0' here" in failure(capsys, "interpolate", a, b, *base, "--device", "tpu:0")
    assert "does not end in" in failure(capsys, "interpolate", a, b, "-o", tmp_path / "mid.txt", "--artifact", folder)
    (tmp_path / "link.png").symlink_to("nowhere")
    for there in (a, tmp_path / "link.png"):
        assert "exists: pass --force" in failure(capsys, "interpolate", a, b, "-o", there, "--artifact", folder)
    assert not target.exists()


@pytest.fixture
def middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A t = 0.5 artifact that blends."""
    monkeypatch.setattr(runtimes, "load", lambda path, **_: Blender(read_manifest(Path(path))))
    return write_artifact(tmp_path / "middle", SIZE, Timesteps.MIDDLE)


def test_other_times_on_a_middle_model(
    middle: Path, pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["interpolate", *pair, "-o", tmp_path / "quarter.png", "--artifact", middle, "--t", "0.25"]
    assert "trained at t = 0.5 only" in failure(capsys, *base)
    assert main([*map(str, base), "--halve"]) == 0
    a, b = (read_image(path).astype(float) for path in pair)
    assert np.abs(read_image(tmp_path / "quarter.png") - (0.75 * a + 0.25 * b)).max() <= 1
    assert "halving does not reach" in failure(capsys, *base[:-1], "1/3", "--halve", "--force")


def test_demo_makes_both_gifs(middle: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "gifs"
    assert main(["demo", *map(str, pair), "--artifact", str(middle), "--out", str(out)]) == 0
    for name, count in (("out_2x.gif", 3), ("out_8x.gif", 9)):
        with Image.open(out / name) as gif:
            frames = [np.asarray(frame.convert("RGB")).astype(float) for frame in ImageSequence.Iterator(gif)]
        assert len(frames) == count
        assert np.abs(frames[0] - draw(0, SIZE)).mean() < 8
        assert np.abs(frames[-1] - draw(3, SIZE)).mean() < 8
        steps = [np.abs(x - y).mean() for x, y in pairwise(frames)]
        assert max(steps) < 1.5 * min(steps), "even steps"


def test_a_video_on_a_real_artifact(artifact: Artifacts, tmp_path: Path) -> None:
    """Every frame of the output is exactly the decoded one, or what the runtime makes of the two around it."""
    clip = Clip(times=even(Fraction(30000, 1001), 3), size=SIZE, pictures=lambda i: draw(2 * i, SIZE))
    source, target = write_clip(tmp_path / "in.mp4", clip), tmp_path / "out.y4m"
    folder = artifact("onnx")
    assert main(["video", str(source), str(target), "--artifact", str(folder), "--factor", "3", "--threads", "1"]) == 0
    before, after = read_video(source), read_video(target)
    assert len(after) == 9
    converter = Converter(Color(matrix=1, full=False))
    with runtimes.load(folder, threads=1) as runtime:
        for i, (a, b) in enumerate(pairwise(before)):
            assert np.array_equal(after[3 * i].planes, a.planes)
            for j in (1, 2):
                made = runtime.interpolate(a.rgb, b.rgb, j / 3)
                expected = converter.from_rgb(made, "yuv420p").to_ndarray()
                assert np.array_equal(after[3 * i + j].planes, expected)
