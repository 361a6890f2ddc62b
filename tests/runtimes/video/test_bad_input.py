"""What is wrong with the input or the request is one line, exit code 1, and nothing left behind."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from runtimes.__main__ import main
from runtimes.cli import run
from runtimes.contract import Size, Timesteps
from runtimes.video.clock import length_of
from runtimes.video.stills import write_image
from tests.runtimes.video.clips import (
    SIZE,
    Clip,
    draw,
    even,
    read_video,
    seconds_of,
    write_artifact,
    write_clip,
    write_sound,
)


def refuse(capsys: pytest.CaptureFixture[str], arguments: Sequence[object]) -> str:
    """Run the command line, expect exit code 1, and return its last line on standard error."""
    assert run("python -m runtimes", main, ["video", *map(str, arguments)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "in.mp4", Clip(times=even(25, 5), audio="aac"))


def test_not_a_video(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.mp4").write_bytes(b"these are not the frames you are looking for" * 100)
    line = refuse(capsys, [tmp_path / "in.mp4", tmp_path / "out.mp4", "--artifact", artifact])
    assert "cannot be read as a video" in line
    line = refuse(capsys, [tmp_path / "none.mp4", tmp_path / "out.mp4", "--artifact", artifact])
    assert "none.mp4 does not exist" in line
    (tmp_path / "empty").mkdir()
    assert "holds no images" in refuse(capsys, [tmp_path / "empty", tmp_path / "out.mp4", "--artifact", artifact])


def test_a_pipe_is_read_from_standard_input_only(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Opened a second time, it waits for ever."""
    os.mkfifo(tmp_path / "in.mkv")
    line = refuse(capsys, [tmp_path / "in.mkv", tmp_path / "out.mp4", "--artifact", artifact])
    assert "in.mkv is a pipe, a folder or a device" in line
    assert line.endswith("pass a file, or - for y4m on standard input")


def test_a_standard_stream_that_is_closed(
    artifact: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``<&-`` and ``>&-``: Python has no stream then."""
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in refuse(capsys, ["-", tmp_path / "out.mp4", "--artifact", artifact])
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        line = refuse(capsys, [clip, "-", "--artifact", artifact])
    assert "standard output is closed" in line


def test_no_video_stream(artifact: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = write_sound(clip, tmp_path / "sound.mp4")
    line = refuse(capsys, [sound, tmp_path / "out.mp4", "--artifact", artifact])
    assert "has no video stream; it has audio" in line


@pytest.mark.parametrize("chunk", [[], ["--resume"]])
def test_one_frame(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], chunk: list[str]) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 1)))
    line = refuse(capsys, [source, tmp_path / "out.mp4", "--artifact", artifact, *chunk])
    assert "has 1 frame; at least 2 are needed" in line
    assert not (tmp_path / "out.mp4").exists()


def test_truncated_file_is_done_as_far_as_it_goes(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_clip(
        tmp_path / "whole.mkv", Clip(times=even(25, 60), options=(("qp", "0"), ("preset", "ultrafast"), ("g", "5")))
    )
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert main(["video", str(tmp_path / "cut.mkv"), str(tmp_path / "out.mp4"), "--artifact", str(artifact)]) == 0
    said = capsys.readouterr().err
    count = len(read_video(tmp_path / "out.mp4"))
    assert 40 < count < 80
    assert f"ends at {(count // 2 - 1) / 25:.3f} s of the 2.400 s it declares: it is truncated" in said


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_still_at_the_end_is_not_called_truncated(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    source = write_clip(tmp_path / f"in{suffix}", Clip(times=[*even(25, 5), Fraction(4)]))
    assert main(["video", str(source), str(tmp_path / f"out{suffix}"), "--artifact", str(artifact)]) == 0
    assert "truncated" not in capsys.readouterr().err


def together(path: Path, video: Path, sound: Path) -> Path:
    """The video of one file and the sound of another."""
    with av.open(str(video)) as one, av.open(str(sound)) as two, av.open(str(path), "w") as target:
        pairs = [(one, one.streams.video[0]), (two, two.streams.audio[0])]
        copies = [target.add_stream_from_template(stream, opaque=True) for _, stream in pairs]
        for (container, stream), copy in zip(pairs, copies, strict=True):
            for packet in container.demux(stream):
                if packet.size:
                    packet.stream = copy
                    target.mux(packet)
    return path


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "libx264"), (".nut", "mpeg4")])
def test_sound_that_goes_on_does_not_make_a_video_truncated(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str, codec: str
) -> None:
    """Matroska tells the length of the file, and in a tag that of the video; others do not tell the latter."""
    late = even(25, 12, start=Fraction(1, 2))
    clip = Clip(times=late, codec=codec, options=(("bf", "0"),))
    long = write_clip(tmp_path / "long.mkv", Clip(times=even(25, 50), audio="aac"))
    source = together(tmp_path / f"in{suffix}", write_clip(tmp_path / "short.mkv", clip), long)
    assert main(["video", str(source), str(tmp_path / "out.mkv"), "--artifact", str(artifact)]) == 0
    said = capsys.readouterr().err
    assert "it is truncated" not in said.replace("it is truncated, or its sound goes on", "")
    assert ("or its sound goes on" in said) == (suffix == ".nut")
    assert (", 0.48 s, " in said) == (suffix != ".nut")


def test_what_declares_how_long_a_video_is() -> None:
    def length(name: str, tags: dict[str, str], ticks: int | None = None, streams: int = 2) -> Any:
        stream = SimpleNamespace(duration=ticks, time_base=Fraction(1, 1000), metadata=tags)
        container = SimpleNamespace(format=SimpleNamespace(name=name), duration=9_000_000, streams=[None] * streams)
        return length_of(container, stream, Fraction(1, 2))  # type: ignore[arg-type]

    assert length("mov,mp4", {}, 3000) == (3, True)
    assert length("asf", {}, 3000) == (3, False), "all its streams have the length of the file"
    tags = {"DURATION": "00:00:02.500000000"}
    assert length("matroska,webm", tags) == (2, True), "FFmpeg's is when the video ends"
    signed = tags | {"_STATISTICS_WRITING_APP": "mkvmerge v74.0.0"}
    assert length("matroska,webm", signed) == (Fraction(5, 2), True)
    assert length("matroska,webm", {"DURATION": "soon"}) == (Fraction(17, 2), False)
    assert length("nut", {}, streams=1) == (9, True)


def test_damaged_packets_cost_themselves_only(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = Clip(times=even(25, 12), codec="mjpeg", pixel_format="yuvj420p", options=())
    whole = write_clip(tmp_path / "whole.mkv", clip)
    data = bytearray(whole.read_bytes())
    start = [i for i in range(len(data) - 3) if data[i : i + 3] == b"\xff\xd8\xff"][6]
    data[start : start + 600] = bytes(600)
    (tmp_path / "bad.mkv").write_bytes(data)
    assert main(["video", str(tmp_path / "bad.mkv"), str(tmp_path / "out.mp4"), "--artifact", str(artifact)]) == 0
    assert "is damaged: 1 packets could not be decoded; its last frame is at 0.440 s" in capsys.readouterr().err
    assert len(read_video(tmp_path / "out.mp4")) == 22


def test_errors_of_other_kinds_cost_their_packet_only(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A PNG's broken compression is an "error in an external library", and not "invalid data"."""
    clip = Clip(times=even(25, 6), codec="png", pixel_format="rgb24", options=())
    source = write_clip(tmp_path / "in.mov", clip)
    with av.open(str(source)) as container:
        broken = bytes(list(container.demux())[3])
    source.write_bytes(source.read_bytes().replace(broken, broken[:200] + bytes(len(broken) - 200)))
    assert main(["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact)]) == 0
    assert "is damaged: 1 packets could not be decoded" in capsys.readouterr().err
    assert len(read_video(tmp_path / "out.mp4")) == 10


def test_size_that_changes(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two H.264 streams of different sizes, one after the other."""
    other = Size(80, 48)
    first = write_clip(tmp_path / "a.mkv", Clip(times=even(25, 3)))
    second = write_clip(tmp_path / "b.mkv", Clip(times=even(25, 3), size=other, pictures=lambda i: draw(i, other)))
    with av.open(str(tmp_path / "in.nut"), "w") as target:
        stream = None
        for offset, path in ((0, first), (120, second)):
            with av.open(str(path)) as source:
                annexb = av.BitStreamFilterContext("h264_mp4toannexb", source.streams.video[0])
                stream = stream or target.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    for ready in annexb.filter(packet) if packet.dts is not None else ():
                        assert ready.pts is not None
                        ready.pts = ready.dts = ready.pts + offset
                        ready.stream = stream
                        target.mux(ready)
    line = refuse(capsys, [tmp_path / "in.nut", tmp_path / "out.mp4", "--artifact", artifact])
    assert "changes from 96x64 to 80x48 at" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "artifacts", "b.mkv", "in.nut"]


def test_output_is_the_input(artifact: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = clip.read_bytes()
    (tmp_path / "link.mp4").symlink_to(clip)
    for target in (clip, tmp_path / "link.mp4"):
        assert "is the input" in refuse(capsys, [clip, target, "--artifact", artifact, "--force"])
    assert clip.read_bytes() == before


@pytest.mark.parametrize("target", ["%06d.png", "sub/../%06d.png"])
def test_output_would_replace_the_folder_of_the_input(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    folder = tmp_path / "frames"
    (tmp_path / "frames" / "sub").mkdir(parents=True)
    (tmp_path / "frames" / "sub").rename(tmp_path / "frames" / "sub.png")
    target = target.replace("sub", "sub.png")
    for i in range(2):
        write_image(draw(i), folder / f"{i}.png")
        write_image(draw(i), folder / "sub.png" / f"{i}.png")
    write_image(draw(0), folder / "film.webp")
    for source in (folder, folder / "sub.png", folder / "film.webp"):
        line = refuse(capsys, [source, folder / target, "--artifact", artifact, "--force"])
        assert "is the input or holds it" in line
    assert len(list(folder.rglob("*.*"))) == 6


def test_output_that_exists(artifact: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.mp4").write_text("precious")
    assert "exists: pass --force" in refuse(capsys, [clip, tmp_path / "out.mp4", "--artifact", artifact])
    assert "does not exist: make that folder" in refuse(
        capsys, [clip, tmp_path / "no" / "out.mp4", "--artifact", artifact]
    )
    assert (tmp_path / "out.mp4").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "in.mp4", "out.mp4"]


@pytest.mark.parametrize(
    ("name", "options"), [("out.mp4", []), ("out.mp4", ["--resume"]), ("out.gif", []), ("out.y4m", []), ("out", [])]
)
def test_output_that_is_a_link_to_nothing(
    artifact: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, options: list[str]
) -> None:
    """Nothing follows it, and it is seen before the work."""
    (tmp_path / name).symlink_to("nowhere")
    line = refuse(capsys, [clip, tmp_path / name, "--artifact", artifact, *options])
    assert f"{name} exists" in line
    assert (tmp_path / name).is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "in.mp4", name]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--encoder", "h265"], r"there is no encoder 'h265'; there are .*libx264.*"),
        (["--encoder-option", "sharpness=3"], "libx264 has no option 'sharpness'; it has .*tune"),
        (["--encoder-option", "sharpness"], "expected NAME=VALUE"),
        (["--encoder", "ffv1", "--crf", "20"], "ffv1 has no option 'crf'"),
        (["--encoder", "huffyuv", "--pix-fmt", "yuv422p"], r".mp4 does not take huffyuv: write .*.nut, or pass"),
        (["--pix-fmt", "yuv9"], "libx264 has no pixel format 'yuv9'; it has yuv420p"),
        (["--preset", "warp"], "libx264 in .mp4 does not start: .*preset/tune warp"),
        (["--factor", "2", "--fps", "60"], "exclude each other"),
        (["--fps", "many"], "frame rate is 'many'"),
        (["--input-fps", "25"], "--input-fps is for folders of images"),
        (["--factor", "0"], "the factor is 0; expected 1 to 128"),
        (["--slowmo", "0"], "slow motion is 0"),
        (["--audio", "stretch"], "belongs to --slowmo"),
        (["--slowmo", "2", "--audio", "copy"], "--audio drop or --audio stretch"),
        (["--chunk", "3/2"], "chunk 3/2; expected i/n"),
        (["--chunk", "half"], "expected i/n"),
        (["--chunk", "1/2", "--resume"], "three ways"),
        (["--resume", "--part-seconds", "0"], "parts of 0 seconds; expected more than 0"),
        (["--resume", "--part-seconds", "nan"], "parts of nan seconds"),
        (["--resume", "--part-seconds", "inf"], "parts of inf seconds"),
        (["--tile", "48x32"], "takes 96x64, the tiles are 48x32: pass --tile 96x64"),
    ],
)
def test_requests_that_cannot_be_met(
    artifact: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    line = refuse(capsys, [clip, tmp_path / "out.mp4", "--artifact", artifact, *options])
    assert re.search(expected, line), line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "in.mp4"]


def test_encoders_are_for_videos(
    artifact: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refuse(capsys, [clip, tmp_path / "out.gif", "--artifact", artifact, "--crf", "20"])
    assert "out.gif has none: leave them out" in line


@pytest.mark.parametrize("name", ["out", "out.wmv", "out.png"])
def test_outputs_of_no_kind(
    artifact: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    if name == "out":
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "diary.txt").write_text("dear")
    line = refuse(capsys, [clip, tmp_path / name, "--artifact", artifact, "--force"])
    assert "holds other files" in line or "name one of those" in line or "is one image" in line


def test_other_ratios_on_a_middle_model(
    clip: Path, tmp_path: Path, blenders: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    middle = write_artifact(tmp_path / "middle", timesteps=Timesteps.MIDDLE)
    line = refuse(capsys, [clip, tmp_path / "out.mp4", "--artifact", middle, "--fps", "60"])
    assert "trained at t = 0.5 only" in line
    assert "--factor 2 (50 fps)" in line
    assert "pass 2 or 4" in refuse(capsys, [clip, tmp_path / "out.mp4", "--artifact", middle, "--factor", "3"])


def test_uneven_duplicates_on_a_middle_model(
    tmp_path: Path, blenders: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    """Animation on threes: halving cannot skip two repeats, so they stay, and nothing fails."""
    middle = write_artifact(tmp_path / "middle", timesteps=Timesteps.MIDDLE)
    source = write_clip(
        tmp_path / "in.mp4", Clip(times=even(24, 7), pictures=lambda i: draw(i // 3 * 3), rate=Fraction(24))
    )
    assert (
        main(["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(middle), "--dedup", "--no-scene-cuts"])
        == 0
    )
    assert "duplicates replaced" not in capsys.readouterr().err
    assert len(read_video(tmp_path / "out.mp4")) == 14


WORKER = """
import sys
from pathlib import Path
import runtimes, time
from runtimes.__main__ import main
from runtimes.artifact import read_manifest
from runtimes.cli import run
from tests.runtimes.video.clips import Blender
class Slow(Blender):
    def _infer(self, *args):
        time.sleep(0.05)
        return super()._infer(*args)
runtimes.load = lambda path, **_: Slow(read_manifest(Path(path)))
sys.exit(run("python -m runtimes", main, sys.argv[1:]))
"""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", WORKER, "video", *map(str, arguments)]


@pytest.mark.parametrize(("name", "options"), [("out.mp4", ["--crf", "0"]), ("out.y4m", []), ("out.gif", [])])
def test_disk_that_fills(tmp_path: Path, name: str, options: list[str]) -> None:
    """A limit on the size of files stands in for the disk: the write fails in the same place."""
    artifact = write_artifact(tmp_path / "artifact")
    noise = np.random.default_rng(0)
    clip = Clip(times=even(25, 10), pictures=lambda _: noise.integers(0, 256, (SIZE.height, SIZE.width, 3), np.uint8))
    source = write_clip(tmp_path / "in.mp4", clip)
    limit = 30_000

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    call = command(source, tmp_path / name, "--artifact", artifact, "--no-scene-cuts", *options)
    done = subprocess.run(call, capture_output=True, text=True, preexec_fn=small_disk, check=False)
    assert done.returncode == 1
    assert "File too large" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact", "in.mp4"]


def test_ctrl_c_leaves_a_playable_file(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact")
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 200), audio="aac"))
    with subprocess.Popen(
        command(
            source,
            tmp_path / "out.mp4",
            "--artifact",
            artifact,
            "--preset",
            "ultrafast",
            "--encoder-option",
            "tune=zerolatency",
        ),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".out.*.partial.mp4")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.5)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "out.mp4 holds the first" in said
    assert "Traceback" not in said
    found = read_video(tmp_path / "out.mp4")
    assert 10 < len(found) < 390
    assert [frame.time for frame in found] == [Fraction(i, 50) for i in range(len(found))]
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = list(container.decode(audio=0))
    assert abs(float(seconds_of(frames[-1])) - len(found) / 50) < 0.2, "the sound ends with the picture"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact", "in.mp4", "out.mp4"]
