"""Whether an artifact takes a video, and what to run when it does not."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runtimes.__main__ import main
from runtimes.artifact import MANIFEST
from runtimes.contract import Precision, Size, SizeRange, Timesteps
from runtimes.errors import ArtifactError, UsageError
from runtimes.video.artifact_for_size import choose_artifact, export_command, run_export
from runtimes.video.errors import VideoError
from runtimes.video.options import InferOptions
from tests.runtimes.video.clips import SIZE, Clip, even, manifest_of, read_video, write_artifact, write_clip

SMALL = Size(48, 32)

OWN = {"format": "pth", "name": "ifrnet_s", "source": "ifrnet_s.pth", "sha256": "ab" * 32}
"""A checkpoint that is not the built-in one, whatever it is called."""


def quiet(_: str) -> None:
    """Nobody listens."""


def test_an_artifact_that_fits_is_taken(tmp_path: Path) -> None:
    static = InferOptions(artifact=write_artifact(tmp_path / "static"))
    dynamic = InferOptions(artifact=write_artifact(tmp_path / "dynamic", dynamic=True))
    assert choose_artifact(static, SIZE, export=False, note=quiet) is static
    assert choose_artifact(dynamic, Size(123, 77), export=False, note=quiet) is dynamic


def test_another_size_names_the_command(tmp_path: Path) -> None:
    options = InferOptions(artifact=write_artifact(tmp_path / "out" / "small", SMALL))
    with pytest.raises(VideoError) as caught:
        choose_artifact(options, SIZE, export=False, note=quiet)
    assert str(caught.value) == (
        f"{options.artifact} takes 48x32, the video is 96x64: pass --export, or run python -m export --target onnx "
        f"--model ifrnet_s --fp32 --size 96x64 --out {tmp_path / 'out'}"
    )


def test_a_neighbour_that_fits_is_named(tmp_path: Path) -> None:
    options = InferOptions(artifact=write_artifact(tmp_path / "small", SMALL))
    (tmp_path / "notes").mkdir()
    other = write_artifact(tmp_path / "other")
    with pytest.raises(VideoError, match=f"pass --artifact {other}"):
        choose_artifact(options, SIZE, export=False, note=quiet)
    assert choose_artifact(options, SIZE, export=True, note=quiet).artifact == other


def test_an_artifact_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="python -m export --target openvino --size 96x64"):
        choose_artifact(InferOptions(artifact=tmp_path / "none"), SIZE, export=True, note=quiet)


@pytest.mark.parametrize(
    ("changes", "size", "expected"),
    [
        ({}, Size(1920, 1080), "--target onnx --model ifrnet_s --fp32 --size 1920x1080 --out out"),
        ({}, Size(3840, 2160), "--model ifrnet_s --fp32 --size 3840x2160 --scale 0.5 --out out"),
        ({"scale": 0.5}, Size(1920, 1080), "--size 1920x1080 --scale 0.5 --out out"),
        ({"checkpoint": {"format": "random", "name": "ifrnet_s-random0"}}, SIZE, "--model random:ifrnet_s --fp32"),
        ({"checkpoint": OWN}, SIZE, "--model PATH/TO/ifrnet_s.pth --fp32 --size 96x64 --out out"),
        (
            {"checkpoint": OWN, "precision": Precision.INT8},
            SIZE,
            "--model PATH/TO/ifrnet_s.pth --int8 --size 96x64 --calibration PATH/TO/calibration.json --out out",
        ),
        ({"precision": Precision.INT8}, SIZE, "--model ifrnet_s --int8 --size 96x64 --out out"),
    ],
)
def test_the_command_makes_the_same_artifact(changes: dict[str, Any], size: Size, expected: str) -> None:
    manifest = dataclasses.replace(manifest_of(SizeRange.static(SMALL), Timesteps.ANY), **changes)
    assert expected in " ".join(export_command(manifest, size, Path("out")))


def test_the_command_is_one_that_export_understands(tmp_path: Path) -> None:
    from export.__main__ import parser

    manifest = manifest_of(SizeRange.static(SMALL), Timesteps.ANY)
    args = parser().parse_args(export_command(manifest, Size(3840, 2160), tmp_path)[3:])
    assert (args.size, args.scale, args.out, args.target) == (Size(3840, 2160), 0.5, tmp_path, ["onnx"])


@pytest.mark.parametrize("works", [True, False])
def test_export_is_run(
    tmp_path: Path,
    blenders: list[object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    works: bool,
) -> None:
    artifact = write_artifact(tmp_path / "out" / "small", SMALL)
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 3)))

    def export(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        assert command[:2] == [sys.executable, "-P"]
        assert list(command[5:7]) == ["--target", "onnx"]
        if works:
            write_artifact(tmp_path / "out" / "large")
        return subprocess.CompletedProcess(command, 0 if works else 1)

    monkeypatch.setattr(subprocess, "run", export)
    arguments = ["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact), "--export"]
    if works:
        assert main(arguments) == 0
        assert len(read_video(tmp_path / "out.mp4")) == 6
        assert "running python -m export --target onnx" in capsys.readouterr().err
    else:
        with pytest.raises(ArtifactError, match="ended with exit code 1 and left no artifact for 96x64"):
            main(arguments)


@pytest.mark.parametrize("path", [None, "", ".", "relative", "HERE"])
def test_what_lies_in_the_working_directory_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], path: str | None
) -> None:
    planted = "from pathlib import Path; Path('ran').touch()"
    (tmp_path / "relative").mkdir()
    for folder in (tmp_path, tmp_path / "relative"):
        for name in ("export.py", "runpy.py", "ifrnet.py", "argparse.py", "sitecustomize.py"):
            (folder / name).write_text(planted)
    monkeypatch.chdir(tmp_path)
    if path is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path) if path == "HERE" else path)
    assert run_export(["--help"]) == 0
    assert "python -m export" in capfd.readouterr().err
    assert not list(tmp_path.rglob("ran"))
    assert run_export(["--nonsense"]) == 1


@pytest.mark.parametrize("export", [True, False])
def test_a_checkpoint_of_ones_own_is_left_to_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, export: bool
) -> None:
    """Its folder is not known, and the built-in weights are not its own."""
    artifact = write_artifact(tmp_path / "small", SMALL)
    manifest = dataclasses.replace(manifest_of(SizeRange.static(SMALL), Timesteps.ANY), checkpoint=OWN)
    (artifact / MANIFEST).write_text(manifest.to_json())
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(VideoError) as caught:
        choose_artifact(InferOptions(artifact=artifact), SIZE, export=export, note=quiet)
    assert "run python -m export --target onnx --model PATH/TO/ifrnet_s.pth --fp32 --size 96x64" in str(caught.value)
    assert "--export" not in str(caught.value)


def test_tiles_have_the_artifacts_size(tmp_path: Path) -> None:
    options = InferOptions(artifact=write_artifact(tmp_path / "small", SMALL), tile=SMALL, overlap=8)
    assert choose_artifact(options, SIZE, export=False, note=quiet).tile == SMALL
    with pytest.raises(VideoError, match="the tiles are 96x64: pass --tile 48x32"):
        choose_artifact(dataclasses.replace(options, tile=Size(200, 200)), SIZE, export=False, note=quiet)
    with pytest.raises(UsageError, match="overlap is 16; expected less than half"):
        choose_artifact(dataclasses.replace(options, overlap=16), SIZE, export=False, note=quiet)


def test_the_message_of_a_changed_manifest_is_kept(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "bad")
    (folder / MANIFEST).write_text("{}")
    with pytest.raises(ArtifactError, match="cannot read"):
        choose_artifact(InferOptions(artifact=folder), SIZE, export=False, note=quiet)
