"""Parts that were damaged, jobs that died, and two jobs for one name."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from runtimes.__main__ import main
from runtimes.errors import UsageError
from runtimes.video.concat import concat
from runtimes.video.errors import VideoError
from runtimes.video.options import Chunk, InferOptions, VideoOptions
from runtimes.video.other_streams import AudioMode
from runtimes.video.parts import PartTag
from runtimes.video.pipeline import open_job
from runtimes.video.resume import parts_folder, run_in_parts
from runtimes.video.seal import is_whole, seal, sealed_frames
from runtimes.video.stills import write_image
from runtimes.video.summary import Progress
from runtimes.video.timeline import Timing
from tests.runtimes.video.clips import Blender, Clip, draw, even, read_video, write_artifact, write_clip
from tests.runtimes.video.test_bad_input import command, refuse

LOSSLESS = ("--encoder-option", "qp=0", "--preset", "ultrafast")


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + path.read_bytes())


DAMAGES = pytest.mark.parametrize("damage", [half, change, lengthen])
Damage = Callable[[Path], None]


@DAMAGES
@pytest.mark.parametrize("suffix", [".nut", ".mp4", ".mkv"])
def test_concat_names_a_damaged_part(artifact: Path, tmp_path: Path, suffix: str, damage: Damage) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 20)))
    parts = [tmp_path / f"{i}{suffix}" for i in (1, 2)]
    for i, part in enumerate(parts, 1):
        assert main(["video", str(source), str(part), "--artifact", str(artifact), *LOSSLESS, "--chunk", f"{i}/2"]) == 0
    assert main(["concat", *map(str, parts), "-o", str(tmp_path / "whole.mp4")]) == 0
    assert len(read_video(tmp_path / "whole.mp4")) == 40
    damage(parts[1])
    with pytest.raises(VideoError, match=f"2{suffix} (is not whole|is damaged|is no part).*make that chunk again"):
        main(["concat", *map(str, parts), "-o", str(tmp_path / "out.mp4")])
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("suffix", [".nut", ".mp4", ".mkv", ".mov", ".webm"])
def test_a_seal_is_no_frame(artifact: Path, tmp_path: Path, suffix: str) -> None:
    """A part plays in every player, with the frames of a file without a seal."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 9)))
    part, plain = tmp_path / f"part{suffix}", tmp_path / f"plain{suffix}"
    arguments = ["--artifact", str(artifact), *(() if suffix == ".webm" else LOSSLESS)]
    assert main(["video", str(source), str(plain), *arguments]) == 0
    assert main(["video", str(source), str(part), *arguments, "--chunk", "1/1"]) == 0
    assert sealed_frames(part) == 18
    one, two = read_video(plain), read_video(part)
    assert len(one) == len(two) == 18
    assert all(np.array_equal(a.planes, b.planes) for a, b in zip(one, two, strict=True))


def test_a_seal_tells_every_changed_byte(tmp_path: Path) -> None:
    path = tmp_path / "part.nut"
    path.write_bytes(bytes(range(50)))
    seal(path, 7, 14)
    whole = path.read_bytes()
    assert sealed_frames(path) == 7
    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        assert not is_whole(path), index


@DAMAGES
def test_resume_makes_a_damaged_part_again(
    artifact: Path, tmp_path: Path, blenders: list[Blender], capsys: pytest.CaptureFixture[str], damage: Damage
) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 40), audio="aac"))
    assert main(["video", str(source), str(tmp_path / "whole.mp4"), "--artifact", str(artifact), *LOSSLESS]) == 0
    options = VideoOptions(
        source=str(source), target=str(tmp_path / "out.mp4"), timing=Timing(), infer=InferOptions(artifact=artifact)
    )
    stop = threading.Event()
    shares: list[Progress] = []

    def watch(progress: Progress) -> None:
        shares.append(progress)
        if progress.frames_out == 61:
            stop.set()

    notes: list[str] = []
    assert run_in_parts(options, 0.4, note=notes.append, progress=watch, stop=stop) is None
    parts = sorted(parts_folder(options).glob("0*"))
    assert len(parts) == 3
    assert (shares[-1].frames_out, shares[-1].done, shares[-1].total) == (61, Fraction(6, 5), Fraction(8, 5)), (
        "progress is that of the job, and not of the part"
    )
    damage(parts[1])
    stop.clear()
    shares.clear()
    blenders.clear()
    again = run_in_parts(options, 0.4, note=notes.append, progress=shares.append, stop=stop)
    assert any(f"{parts[1]} is damaged, and is made again" in note for note in notes)
    assert "2 of 4 parts are there already" in notes
    assert again is not None
    assert (again.frames_out, again.frames_kept, again.frames_in) == (80, 40, 20)
    assert again.inferred == len(blenders[-1].calls) == 19
    assert (shares[0].frames_out, shares[0].before, shares[0].done) == (41, Fraction(4, 5), Fraction(4, 5))
    assert (shares[-1].frames_out, shares[-1].done) == (80, Fraction(8, 5) - Fraction(1, 50))
    whole, out = read_video(tmp_path / "whole.mp4"), read_video(tmp_path / "out.mp4")
    assert [frame.time for frame in whole] == [frame.time for frame in out]


def test_what_the_parts_count_is_what_one_run_counts(artifact: Path, tmp_path: Path) -> None:
    """Frames at the edges of parts are read by both, and counted by one."""
    source = write_clip(
        tmp_path / "in.mp4", Clip(times=even(25, 60), pictures=lambda i: draw(i // 2 * 2, scene=i // 20))
    )
    options = VideoOptions(
        source=str(source),
        target=str(tmp_path / "a.mp4"),
        timing=Timing(),
        infer=InferOptions(artifact=artifact),
        dedup=True,
    )
    with ExitStack() as stack:
        one = open_job(options, stack, note=lambda _: None).run()
    quiet = {"note": lambda _: None, "progress": lambda _: None, "stop": threading.Event()}
    parts = run_in_parts(
        VideoOptions(**{**vars(options), "target": str(tmp_path / "b.mp4")}),
        0.37,
        **quiet,  # type: ignore[arg-type]
    )
    assert parts is not None
    keys = ("frames_in", "frames_out", "cuts", "duplicates")
    assert [getattr(one, key) for key in keys] == [getattr(parts, key) for key in keys]
    assert one.cuts == 2


def wait_for(folder: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not list(folder.glob(pattern)) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    assert list(folder.glob(pattern)), "the job did not begin"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.mp4", []),
        ("out.mp4", ["--resume", "--part-seconds", "1"]),
        ("out.gif", []),
        ("out.y4m", []),
        ("out", []),
    ],
)
def test_two_jobs_for_one_name(
    tmp_path: Path, artifact: Path, capsys: pytest.CaptureFixture[str], options: list[str], name: str
) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 40)))
    arguments = [source, tmp_path / name, "--artifact", artifact, *options]
    with subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True) as first:
        wait_for(tmp_path, ".out.*.partial*", first)
        line = refuse(capsys, arguments)
        _, said = first.communicate(timeout=60)
    assert f"another job is writing {tmp_path / name}" in line
    assert first.returncode == 0, said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "in.mp4", name]


@pytest.mark.parametrize("name", ["out.mp4", "out"])
def test_a_file_that_appears_meanwhile_is_kept(artifact: Path, tmp_path: Path, name: str) -> None:
    source, target = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 5))), tmp_path / name

    def appear(progress: Progress) -> None:
        if progress.frames_out == 3 and target.suffix:
            target.write_text("precious")
        elif progress.frames_out == 3:
            target.mkdir()
            write_image(draw(0), target / "precious.png")

    options = VideoOptions(
        source=str(source), target=str(target), timing=Timing(), infer=InferOptions(artifact=artifact)
    )
    with ExitStack() as stack, pytest.raises(UsageError, match="appeared while this job ran") as caught:
        open_job(options, stack, note=lambda _: None, progress=appear).run()
    kept = target.with_name("out-2" + target.suffix)
    assert str(kept) in str(caught.value)
    if target.suffix:
        assert target.read_text() == "precious"
        assert len(read_video(kept)) == 10
    else:
        assert [path.name for path in target.iterdir()] == ["precious.png"]
        assert len(list(kept.iterdir())) == 10
    assert not list(tmp_path.glob(".out*"))


def test_what_a_killed_job_left_goes_with_the_next(tmp_path: Path, artifact: Path) -> None:
    """The folder of its parts, when the settings are others; and what it had under a temporary name."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 100)))
    killed = [source, tmp_path / "out.mp4", "--artifact", artifact]
    for options, pattern in (([], ".out.*.partial.mp4"), (["--resume", "--part-seconds", "1"], "*.parts-*/00001*")):
        with subprocess.Popen(command(*killed, *options), stderr=subprocess.PIPE, text=True) as process:
            wait_for(tmp_path, pattern, process)
            os.kill(process.pid, signal.SIGKILL)
    assert list(tmp_path.glob(".out.*"))
    assert list(tmp_path.glob("out.mp4.parts-*"))
    assert main(["video", *map(str, killed), "--factor", "3"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "in.mp4", "out.mp4"]


def test_parts_of_a_living_job_are_left_alone(tmp_path: Path, artifact: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 40)))
    slow = write_artifact(tmp_path / "slow")
    other = [source, tmp_path / "out.mp4", "--artifact", slow, "--resume", "--part-seconds", "0.4", "--force"]
    with subprocess.Popen(command(*other), stderr=subprocess.PIPE, text=True) as process:
        wait_for(tmp_path, "out.mp4.parts-*/00001*", process)
        quick = ["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact), "--force"]
        assert main(quick) == 0
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert not list(tmp_path.glob("out.mp4.parts-*"))


def test_an_empty_part_that_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "1.nut"
    tag = PartTag(job="x", chunk=Chunk(index=1, count=1), start=Fraction(0), unit=Fraction(1, 50), slowdown=Fraction(1))
    tag.mark_empty(path, force=False)
    path.write_bytes(path.read_bytes().replace(b'"x\\"', b'"y\\"'))
    with pytest.raises(VideoError, match="is damaged"):
        concat([path], tmp_path / "o.mp4", source=None, audio=AudioMode.COPY, subtitles=True, force=False, note=print)
