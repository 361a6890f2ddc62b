"""The program ``ifrnet``: what it refuses, and what it makes of an artifact.

``native_program``: the path of the built program.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

import runtimes

COMMANDS = ("verify", "interpolate", "bench", "devices", "describe")

SIZE = (160, 96)  # width and height of the small artifacts


@dataclass(frozen=True)
class Program:
    path: Path
    cache: Path

    def __call__(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it with a cache of its own, and no artifact in the environment but one that is passed here."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IFRNET_")}
        return subprocess.run(
            [self.path, *arguments],
            capture_output=True,
            text=True,
            env=kept | {"IFRNET_CACHE": str(self.cache)} | environment,
            check=False,
        )

    def refused(self, *arguments: str | Path, code: int = 1, **environment: str) -> str:
        """What it says in its one line on standard error."""
        done = self(*arguments, **environment)
        assert done.returncode == code, done
        assert re.fullmatch(r"ifrnet[^\n]*: [^\n]+\n", done.stderr), done.stderr
        return done.stderr


@pytest.fixture
def ifrnet(native_program: Path, tmp_path: Path) -> Program:
    return Program(native_program, tmp_path / "cache")


@pytest.fixture
def pair(tmp_path: Path, frames: Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> tuple[Path, Path]:
    """A moving pair of the artifact's size as ``a.png`` and ``b.bmp``."""
    paths = tmp_path / "a.png", tmp_path / "b.bmp"
    for path, frame in zip(paths, frames(f"{SIZE[0]}x{SIZE[1]}"), strict=True):
        Image.fromarray(frame).save(path)
    return paths


@pytest.fixture
def unproven(artifact: Callable[..., Path], tmp_path: Path) -> Path:
    """A copy of a small artifact; nothing was proved of it on this backend."""
    folder = tmp_path / "artifact"
    shutil.copytree(artifact("ncnn"), folder)
    (folder / "verdicts.json").unlink(missing_ok=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "parity": []}))
    return folder


@pytest.fixture
def proven(unproven: Path, ifrnet: Program) -> Path:
    done = ifrnet("verify", unproven)
    assert done.returncode == 0, done
    return unproven


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


# ---- the command line --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_option_of_a_command(ifrnet: Program, command: str) -> None:
    done = ifrnet(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: ifrnet {command}")
    assert "--help" in done.stdout
    for option in re.findall(r"^  (?:-\w, )?(--[a-z]+)", done.stdout, re.MULTILINE):
        assert "there is no option" not in ifrnet(command, option, "x").stderr
    assert ifrnet(command, "-h").stdout == done.stdout


def test_help_lists_the_commands_and_the_exit_codes(ifrnet: Program) -> None:
    done = ifrnet("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)
    assert "exit codes: 0 fine, 1 your error, 2 " in done.stdout


def test_version_names_the_library_and_ncnn(ifrnet: Program) -> None:
    assert re.fullmatch(r"ifrnet \d+\.\d+\.\d+, ncnn [\d.]+\n", ifrnet("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "a command is missing; expected verify, interpolate, bench, devices or describe"),
        ("verfy x", "there is no command verfy; did you mean verify\\?"),
        ("play x", "there is no command play; expected one of verify, interpolate, bench, devices, describe"),
        ("verify", "verify: DIR is missing: artifact folder"),
        ("verify a b", "got b, one argument too many; expected ifrnet verify DIR"),
        ("devices a", "got a, one argument too many; expected ifrnet devices"),
        ("verify a --devise cpu", "there is no option --devise; did you mean --device\\?"),
        ("verify a --fast", "there is no option --fast; expected one of --device, --threads, --help"),
        ("verify a -x", "there is no option -x"),
        ("verify a --device", "--device lacks its value; expected --device D"),
        ("verify a --device cpu --device cpu", "--device is given twice"),
        ("bench a --prove=yes", "--prove takes no value, got --prove=yes"),
        ("bench a --prove --unproven", "--prove and --unproven contradict each other"),
        ("bench a --rounds many", "--rounds is 'many'; expected a whole number from 1 to"),
        ("bench a --rounds 0", "--rounds is '0'; expected a whole number from 1 to"),
        ("bench a --rounds 99999999999999999999", "expected a whole number from 1 to"),
        ("bench a --threads -1", "--threads is '-1'; expected a whole number from 1 to"),
        ("interpolate a.png b.png", "-o OUT is missing"),
        ("interpolate a.png -o c.png", "B is missing: image at t = 1"),
        ("interpolate a.png b.png -o c.jpg", "the output is c.jpg; expected a name that ends in .png"),
        ("interpolate a.png b.png -o .png", "the output is .png; expected a name"),
        ("interpolate a.png b.png -o c.png", "pass --artifact DIR or set IFRNET_ARTIFACT; python -m export"),
        ("interpolate a.png b.png -o c.png -t 1", "t is '1'; expected numbers between 0 and 1"),
        ("interpolate a.png b.png -o c.png -t 0.5,", "t is ''; expected numbers"),
        ("interpolate a.png b.png -o c.png -t 1/0", "t is '1/0'; expected numbers"),
        ("interpolate a.png b.png -o c.png -t nan", "t is 'nan'; expected numbers"),
        ("interpolate a.png b.png -o c.png -t 0.5x", "t is '0.5x'; expected numbers"),
    ],
)
def test_mistakes_are_refused_in_one_line(ifrnet: Program, arguments: str, words: str) -> None:
    assert re.search(words, ifrnet.refused(*arguments.split()))


def test_what_a_terminal_would_obey_is_not_printed(ifrnet: Program) -> None:
    assert "\x1b" not in ifrnet.refused("verify", "a", "--\x1b[31m")


def test_a_folder_that_is_no_artifact_is_refused(ifrnet: Program, pair: tuple[Path, Path], tmp_path: Path) -> None:
    for arguments in (("verify", tmp_path), ("bench", tmp_path), ("describe", tmp_path)):
        assert str(tmp_path) in ifrnet.refused(*arguments)
    missing = str(tmp_path / "missing")
    assert missing in ifrnet.refused("interpolate", *pair, "-o", tmp_path / "c.png", IFRNET_ARTIFACT=missing)
    assert missing in ifrnet.refused(
        "interpolate", *pair, "-o", tmp_path / "c.png", "--artifact", missing, IFRNET_ARTIFACT="another"
    )


def test_pictures_that_cannot_be_read_are_refused(ifrnet: Program, pair: tuple[Path, Path], tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        return ifrnet.refused("interpolate", path, pair[1], "-o", tmp_path / "c.png", "--artifact", "any")

    whole = pair[0].read_bytes()
    broken, deep, text = tmp_path / "broken.png", tmp_path / "deep.png", tmp_path / "text.png"
    broken.write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((96, 160), np.uint16)).save(deep)
    text.write_text("no picture")
    assert "cannot be opened: No such file or directory" in refused(tmp_path / "missing.png")
    assert "is damaged" in refused(broken)
    assert "has 16 bits a value; expected 8" in refused(deep)
    assert "is no image of a known kind" in refused(text)
    assert "cannot be read" in refused(tmp_path)


# ---- with an artifact --------------------------------------------------------------------------------------------


def test_verify_prints_every_comparison_and_the_verdict(ifrnet: Program, unproven: Path) -> None:
    done = ifrnet("verify", unproven)
    assert (done.returncode, done.stderr) == (0, "")
    first, heading, *rows, verdict = done.stdout.splitlines()
    assert re.fullmatch(r"cpu: .+, ifrnet [\d.]+, ncnn [\d.]+, fp32", first)
    assert heading.split() == ["size", "t", "asked", "for", "PSNR", "dB", "max", "error", "block", "error", "verdict"]
    assert rows
    assert all(re.match(r"\d+x\d+ +0\.\d+ +(alone|with others) +[\d.]+ .* passed$", row) for row in rows)
    assert verdict == "cpu (fp32): passed"
    assert "verdict:   passed" in ifrnet("describe", unproven).stdout


def test_a_verdict_that_can_be_kept_nowhere_is_a_warning(
    ifrnet: Program, unproven: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    (unproven / "verdicts.json").mkdir()  # root may write everywhere, so a folder and a file stand in the way
    ifrnet.cache.touch()
    command = ("interpolate", *pair, "-o", tmp_path / "c.png", "--artifact", unproven)
    for done in (ifrnet("verify", unproven), ifrnet(*command, "--prove")):
        assert done.returncode == 0, done
        assert re.fullmatch("ifrnet: warning: the verdict could not be kept .* name a folder .*\n", done.stderr)
    assert "was not proved on cpu" in ifrnet.refused(*command, "--force", code=2)


def test_what_was_never_proved_runs_only_when_asked(
    ifrnet: Program, unproven: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    output = tmp_path / "c.png"
    command = ("interpolate", *pair, "-o", output, "--artifact", unproven)
    ifrnet.refused(*command, code=2)
    assert not output.exists()
    assert "verdict:   not run: " in ifrnet("describe", unproven).stdout
    done = ifrnet(*command, "--unproven")
    assert done.returncode == 0
    assert done.stdout.endswith("(fp32), not proven here\n")
    done = ifrnet(*command, "--prove", "--force")
    assert done.returncode == 0
    assert done.stdout.endswith("(fp32)\n")
    assert ifrnet(*command, "--force").returncode == 0


@pytest.mark.filterwarnings("ignore::runtimes.ParityNotRunWarning")  # ncnn itself proved nothing of this copy
def test_interpolate_gives_the_frames_that_python_gives(
    ifrnet: Program, proven: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    with runtimes.load(proven, threads=1) as runtime:
        expected = runtime.interpolate(pixels(pair[0]), pixels(pair[1]), [0.25, 0.5])
    output = tmp_path / "c.png"
    done = ifrnet("interpolate", *pair, "-o", output, "-t", "1/4,0.5", IFRNET_ARTIFACT=str(proven))
    assert (done.returncode, done.stderr) == (0, "")
    assert not output.exists()
    for number, frame in enumerate(expected, start=1):
        difference = np.abs(pixels(tmp_path / f"c_{number}.png").astype(int) - frame.astype(int))
        assert difference.max() <= 1
        assert np.mean(difference == 0) >= 0.999
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(("way", "kind"), [*((way, "jpg") for way in range(1, 9)), (6, "png")])
def test_a_photo_is_turned_as_its_camera_was_held(
    ifrnet: Program, proven: Path, pair: tuple[Path, Path], way: int, kind: str
) -> None:
    stored, upright, output = (pair[0].with_name(name) for name in (f"stored.{kind}", "upright.png", "c.png"))
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]] if way < 5 else np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    exif = Image.Exif()
    exif[0x0112] = way
    Image.fromarray(np.stack([x, y, x + y], axis=-1).astype(np.uint8) // 2).save(stored, quality=95, exif=exif)
    ImageOps.exif_transpose(Image.open(stored)).save(upright)
    made = []
    for picture in (stored, upright):
        done = ifrnet("interpolate", picture, picture, "-o", output, "--artifact", proven, "--force")
        assert done.returncode == 0, done
        made.append(pixels(output).astype(int))
    assert np.abs(made[0] - made[1]).max() <= 8  # decoders of JPEG differ by a level or two


@pytest.mark.parametrize(("mode", "said"), [("RGBA", True), ("LA", True), ("RGB", False), ("L", False), ("P", False)])
def test_transparency_is_not_left_out_in_silence(
    ifrnet: Program, proven: Path, pair: tuple[Path, Path], mode: str, said: bool
) -> None:
    first, output = pair[0].with_name("first.png"), pair[0].with_name("c.png")
    Image.open(pair[0]).convert(mode).save(first)
    done = ifrnet("interpolate", first, pair[1], "-o", output, "--artifact", proven)
    assert done.returncode == 0, done
    assert ("transparency is left out" in done.stderr) == said


def test_an_output_is_replaced_only_when_asked(
    ifrnet: Program, proven: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    output = tmp_path / "c.png"
    output.write_text("mine")
    command = ("interpolate", *pair, "-o", output, "--artifact", proven)
    assert "exists: pass --force to replace it" in ifrnet.refused(*command)
    assert output.read_text() == "mine"
    assert ifrnet(*command, "--force").returncode == 0
    assert pixels(output).shape == (SIZE[1], SIZE[0], 3)


def test_an_output_may_have_the_longest_name(
    ifrnet: Program, proven: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    output = tmp_path / ("c" * 251 + ".png")
    done = ifrnet("interpolate", *pair, "-o", output, "--artifact", proven)
    assert (done.returncode, done.stderr) == (0, "")
    assert output.is_file()
    assert not list(tmp_path.glob(".*"))


def test_pictures_of_another_size_are_refused(ifrnet: Program, proven: Path, pair: tuple[Path, Path]) -> None:
    small, output = pair[0].with_name("small.png"), pair[0].with_name("c.png")
    Image.new("RGB", (32, 48)).save(small)
    message = ifrnet.refused("interpolate", pair[0], small, "-o", output, "--artifact", proven)
    assert "img1 is 32x48, the artifact takes 160x96" in message
    assert not output.exists()


def test_a_device_that_is_not_there_is_refused(ifrnet: Program, proven: Path) -> None:
    assert "vulkan:99" in ifrnet.refused("verify", proven, "--device", "vulkan:99")


def test_bench_tells_median_p90_and_least(ifrnet: Program, proven: Path) -> None:
    done = ifrnet("bench", proven, "--rounds", "7", "--threads", "1")
    assert (done.returncode, done.stderr) == (0, "")
    found = re.search(r"median ([\d.]+) ms, p90 ([\d.]+) ms, least ([\d.]+) ms; 7 rounds after 3", done.stdout)
    assert found
    median, p90, least = map(float, found.groups())
    assert 0 < least <= median <= p90
    assert "160x96 on cpu (fp32), 1 thread\n" in done.stdout


def test_devices_lists_the_cpu_first(ifrnet: Program) -> None:
    done = ifrnet("devices")
    assert done.returncode == 0
    assert done.stdout.startswith("cpu: ")
