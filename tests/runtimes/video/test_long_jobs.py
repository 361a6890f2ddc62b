"""Chunks, joining them, and going on after a kill."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from runtimes.__main__ import main
from runtimes.contract import Timesteps
from runtimes.errors import UsageError
from runtimes.frames import Array
from runtimes.video import resume
from runtimes.video.concat import concat
from runtimes.video.errors import VideoError
from runtimes.video.options import Chunk, InferOptions, VideoOptions
from runtimes.video.other_streams import AudioMode
from runtimes.video.parts import PartTag, fingerprint
from runtimes.video.pipeline import open_job
from runtimes.video.resume import run_in_parts
from runtimes.video.source import SourceFrame, VideoSource
from runtimes.video.stills import write_image
from runtimes.video.summary import Progress
from runtimes.video.timeline import Timing
from tests.runtimes.video.clips import Blender, Clip, draw, even, read_video, seconds_of, write_artifact, write_clip
from tests.runtimes.video.test_bad_input import command
from tests.runtimes.video.test_other_streams import packets

LOSSLESS = ("--encoder-option", "qp=0", "--preset", "ultrafast")
NTSC = Fraction(24000, 1001)

UNEVEN = [Fraction(x, 1000) for x in (200, 233, 300, 333, 433, 500, 533, 566, 700, 733, 800, 900, 933, 1000)]


def same(a: Path, b: Path) -> bool:
    """Whether two files show the same frames at the same times."""
    one, two = read_video(a), read_video(b)
    return [f.time for f in one] == [f.time for f in two] and all(
        np.array_equal(x.planes, y.planes) for x, y in zip(one, two, strict=True)
    )


@pytest.mark.parametrize(
    ("clip", "timing"),
    [
        (Clip(times=even(NTSC, 30), rate=NTSC, audio="aac"), ["--fps", "60"]),
        (
            Clip(times=even(25, 31), options=(("preset", "medium"), ("crf", "10"), ("g", "7"), ("bf", "3"))),
            ["--factor", "4"],
        ),
        (Clip(times=UNEVEN), ["--slowmo", "2"]),
    ],
    ids=["ntsc", "b-frames", "variable"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_chunks_joined_are_the_single_run(
    artifact: Path, tmp_path: Path, clip: Clip, timing: list[str], suffix: str
) -> None:
    source = write_clip(tmp_path / f"in{suffix}", clip)
    arguments = ["--artifact", str(artifact), *LOSSLESS, *timing]
    assert main(["video", str(source), str(tmp_path / "whole.mp4"), *arguments]) == 0
    parts = [str(tmp_path / f"part{i}.nut") for i in (1, 2, 3)]
    for i, part in enumerate(parts, 1):
        assert main(["video", str(source), part, *arguments, "--chunk", f"{i}/3"]) == 0
    assert all(len(read_video(Path(part))) > 4 for part in parts)
    order = [parts[2], parts[0], parts[1]]
    assert main(["concat", *order, "-o", str(tmp_path / "joined.mp4"), "--source", str(source)]) == 0
    assert same(tmp_path / "whole.mp4", tmp_path / "joined.mp4")
    if clip.audio:
        assert packets(tmp_path / "whole.mp4") == packets(tmp_path / "joined.mp4")


@pytest.mark.parametrize(("name", "group"), [("in.ts", 50), ("in.ts", 1000), ("in.h264", 50)])
def test_parts_of_what_is_not_searched_for_key_frames(artifact: Path, tmp_path: Path, name: str, group: int) -> None:
    """MPEG-TS is entered between key frames, where nothing can be decoded before the next; bare streams not at all."""
    options = (("preset", "veryfast"), ("g", str(group)), ("bf", "2"))
    source = write_clip(tmp_path / name, Clip(times=even(25, 120), options=options))
    whole = [frame.time for frame in read_frames(source, None)]
    assert len(whole) == 120
    for index in (3, 30, 60, 110):
        found = [frame.time for frame in read_frames(source, whole[index])]
        assert found == whole[-len(found) :]
        assert len(found) >= 120 - index


@pytest.mark.parametrize(("rate", "seconds"), [(25, 0.5), (25, 1), (25, 1.5), (25, 2.5), (4, 1.5)])
def test_parts_of_a_long_still_are_the_single_run(artifact: Path, tmp_path: Path, rate: int, seconds: float) -> None:
    """A part begins to read somewhere in the still, and takes out the same duplicates as the whole."""

    def still(index: int) -> Array:
        return draw(index // 2 * 2 if index < 10 else max(10, (index - 62) // 3 * 3))

    clip = Clip(times=even(rate, 90), pictures=still, rate=Fraction(rate), options=(("qp", "0"), ("g", "1")))
    source = write_clip(tmp_path / "in.mp4", clip)
    arguments = ["--artifact", str(artifact), *LOSSLESS, "--dedup", "--no-scene-cuts"]
    assert main(["video", str(source), str(tmp_path / "whole.mp4"), *arguments]) == 0
    arguments += ["--resume", "--part-seconds", str(seconds)]
    assert main(["video", str(source), str(tmp_path / "parts.mp4"), *arguments]) == 0
    assert same(tmp_path / "whole.mp4", tmp_path / "parts.mp4")


def read_frames(path: Path, since: Fraction | None) -> list[SourceFrame]:
    source = VideoSource(str(path), lambda _: None)
    frames = list(source.frames(since))
    source.close()
    return frames


@pytest.mark.parametrize("part", [".nut", ".mp4", ".mkv"])
def test_a_still_at_the_end_keeps_its_length(artifact: Path, tmp_path: Path, part: str) -> None:
    """NUT stores when a frame begins, and not for how long it shows."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=[*even(25, 30), Fraction(9)]))
    arguments = ["--artifact", str(artifact), "--preset", "ultrafast"]
    parts = [tmp_path / f"{i}{part}" for i in (1, 2)]
    for i, path in enumerate(parts, 1):
        assert main(["video", str(source), str(path), *arguments, "--chunk", f"{i}/2"]) == 0
    assert main(["concat", *map(str, parts), "-o", str(tmp_path / "out.mkv")]) == 0
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.duration == 9 * av.time_base


@pytest.mark.parametrize("resume", [[], ["--resume"]])
@pytest.mark.parametrize(("times", "rate"), [(even(NTSC, 12), 2 * NTSC), (UNEVEN, 60)], ids=["constant", "variable"])
def test_matroska_tells_a_rate_at_which_no_frame_is_lost(
    artifact: Path, tmp_path: Path, resume: list[str], times: list[Fraction], rate: Fraction
) -> None:
    """FFmpeg converts to the rate that the header tells: of 25, it drops all frames of faster video beyond that."""
    source, target = write_clip(tmp_path / "in.mp4", Clip(times=times, rate=NTSC)), tmp_path / "out.mkv"
    assert main(["video", str(source), str(target), "--artifact", str(artifact), *resume]) == 0
    with av.open(str(target)) as container:
        found = container.streams.video[0].average_rate
        assert found is not None
        assert abs(found / rate - 1) < Fraction(1, 1000)


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_an_mp4_with_b_frames_is_as_long_as_what_it_shows(artifact: Path, tmp_path: Path, resume: list[str]) -> None:
    """Its length is that of decode times, which are those of frames before."""
    times = [*even(25, 12), Fraction(2), Fraction(5), Fraction(9)]
    source, target = write_clip(tmp_path / "in.mp4", Clip(times=times)), tmp_path / "out.mp4"
    assert main(["video", str(source), str(target), "--artifact", str(artifact), *resume]) == 0
    with av.open(str(target)) as container:
        video: Any = container.streams.video[0]
        assert video.codec_context.has_b_frames
        assert video.duration * video.time_base == 9
        frames = [(seconds_of(frame), frame.duration * video.time_base) for frame in container.decode(video=0)]
    assert [time for time, _ in frames[-3:]] == [Fraction(7, 2), 5, 7]
    assert sum(frames[-1]) == 9


def test_chunks_in_mp4_and_with_b_frames(artifact: Path, tmp_path: Path) -> None:
    """The default encoder reorders frames; joined, they decode to what each part decodes to."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 40)))
    parts = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for i, part in enumerate(parts, 1):
        assert main(["video", str(source), str(part), "--artifact", str(artifact), "--chunk", f"{i}/2"]) == 0
    assert main(["concat", *map(str, parts), "-o", str(tmp_path / "out.mp4")]) == 0
    joined = read_video(tmp_path / "out.mp4")
    assert [frame.time for frame in joined] == [Fraction(i, 50) for i in range(80)]
    apart = [frame for part in parts for frame in read_video(part)]
    assert all(np.array_equal(a.planes, b.planes) for a, b in zip(apart, joined, strict=True))


def test_what_cannot_be_joined(artifact: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 20)))
    for name, options in (("a", ["1/2"]), ("b", ["2/2"]), ("c", ["2/2", "--factor", "4"]), ("d", ["2/3"])):
        chunk = ["--chunk", *options]
        assert main(["video", str(source), str(tmp_path / f"{name}.nut"), "--artifact", str(artifact), *chunk]) == 0
    out, a, b, c, d = (str(tmp_path / name) for name in ("out.mp4", "a.nut", "b.nut", "c.nut", "d.nut"))
    for parts, reason in (
        ([a], "has 2 chunks, 1 are given; missing chunks: 2"),
        ([a, b, b], "some are given twice"),
        ([a, c], "of different jobs"),
        ([a, d], "or number of chunks"),
        ([a, str(source)], "is not a part made with --chunk"),
    ):
        with pytest.raises(VideoError, match=reason):
            main(["concat", *parts, "-o", out])
    assert not Path(out).exists()
    assert not list(tmp_path.glob(".out*"))


def test_resume_makes_what_is_missing(artifact: Path, tmp_path: Path, blenders: list[Blender]) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 40), audio="aac"))
    arguments = ["--artifact", str(artifact), *LOSSLESS]
    assert main(["video", str(source), str(tmp_path / "whole.mp4"), *arguments]) == 0
    resumed = ["video", str(source), str(tmp_path / "out.mp4"), *arguments, "--resume", "--part-seconds", "0.5"]
    assert main(resumed) == 0
    assert same(tmp_path / "whole.mp4", tmp_path / "out.mp4")
    assert packets(tmp_path / "whole.mp4") == packets(tmp_path / "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "in.mp4", "out.mp4", "whole.mp4"]
    assert len(blenders[-1].calls) == 39


def test_ctrl_c_while_parts_are_joined(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output is whole, and the parts are gone: nothing is to go on from."""
    joined = resume.join

    def join(*arguments: Any) -> None:
        handler = signal.getsignal(signal.SIGINT)
        assert callable(handler)
        # A real signal ends this process where the native runtimes of other tests have left its signal stack unusable.
        handler(signal.SIGINT, None)
        joined(*arguments)

    monkeypatch.setattr(resume, "join", join)
    source, target = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 12))), tmp_path / "out.mp4"
    assert main(["video", str(source), str(target), "--artifact", str(artifact), "--resume"]) == 130
    assert "interrupted" not in capsys.readouterr().err
    assert len(read_video(target)) == 24
    assert not list(tmp_path.glob("*.parts-*"))


def test_a_killed_job_loses_one_part_at_most(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact", timesteps=Timesteps.ANY)
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 100), pictures=lambda i: draw(i)))
    arguments = [source, tmp_path / "out.mp4", "--artifact", artifact, "--resume", "--part-seconds", "1"]
    with subprocess.Popen(command(*arguments), stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("out.mp4.parts-*/0*.nut"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    parts = sorted(tmp_path.glob("out.mp4.parts-*/0*.nut"))
    made = {part: part.stat().st_mtime_ns for part in parts}
    assert len(parts) >= 2
    assert not (tmp_path / "out.mp4").exists()
    fast = [sys.executable, "-c", command()[2].replace("time.sleep(0.05)", "pass"), "video", *map(str, arguments)]
    done = subprocess.run(fast, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(made)} of 4 parts are there already" in done.stderr
    assert [frame.time for frame in read_video(tmp_path / "out.mp4")] == [Fraction(i, 50) for i in range(200)]
    assert not list(tmp_path.glob("out.mp4.parts-*"))


def test_resume_needs_files(artifact: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 5)))
    with pytest.raises(UsageError, match="needs a file as input and a video file"):
        main(["video", str(source), str(tmp_path / "out.gif"), "--artifact", str(artifact), "--resume"])


def test_standard_input_is_refused_before_it_is_read(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a file as input and a video file"):
        main(["video", "-", str(tmp_path / "out.mp4"), "--artifact", str(artifact), "--resume"])


def test_a_container_that_does_not_hold_the_parts(artifact: Path, tmp_path: Path) -> None:
    source, part = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 4))), tmp_path / "part.nut"
    assert main(["video", str(source), str(part), "--artifact", str(artifact), "--chunk", "1/1"]) == 0
    with pytest.raises(UsageError, match=r"\.webm files do not hold h264: write .mp4 or .mkv"):
        main(["concat", str(part), "-o", str(tmp_path / "out.webm")])
    with pytest.raises(UsageError, match=r"out.txt has no suffix of a video container"):
        main(["concat", str(part), "-o", str(tmp_path / "out.txt")])
    assert not list(tmp_path.glob("*out*"))


def test_parts_say_where_they_belong(artifact: Path, tmp_path: Path) -> None:
    """20 frames of 23.976 last 0.834 s; the first 60th of a second in their second half is the 26th, 13/30 s."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(NTSC, 20), rate=NTSC))
    part = tmp_path / "part.mp4"
    assert main(["video", str(source), str(part), "--artifact", str(artifact), "--chunk", "2/2", "--fps", "60"]) == 0
    with av.open(str(part)) as container:
        tag = json.loads(container.metadata["ifrnet"])
    assert (tag["chunk"], tag["start"], tag["unit"]) == ("2/2", "13/30", "1/60")


def options_of(source: Path, target: Path, artifact: Path, chunk: Chunk | None = None) -> VideoOptions:
    infer = InferOptions(artifact=artifact)
    return VideoOptions(source=str(source), target=str(target), timing=Timing(factor=2), infer=infer, chunk=chunk)


def test_a_chunk_cut_short_is_not_kept(artifact: Path, tmp_path: Path, blenders: list[Blender]) -> None:
    """It would pass for whole, and footage would be lost without a word."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 40)))
    stop = threading.Event()

    def interrupt(progress: Progress) -> None:
        if progress.frames_out == 3:
            stop.set()

    told: dict[str, Any] = {"note": lambda _: None, "progress": interrupt, "stop": stop}
    options = options_of(source, tmp_path / "part.nut", artifact, Chunk(index=1, count=2))
    with ExitStack() as stack, pytest.raises(KeyboardInterrupt):
        open_job(options, stack, **told).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "in.mp4"]
    stop.clear()
    options = options_of(source, tmp_path / "out.mp4", artifact)
    assert run_in_parts(options, 0.8, **told) is None
    assert not list(tmp_path.glob("out.mp4.parts-*/*"))


def test_parts_without_frames(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pause longer than a part, and behind the end of a file that declares to be longer."""
    times = [Fraction(x, 1000) for x in (0, 40, 80, 2000, 2040, 2080, 2120)]
    pause = write_clip(tmp_path / "pause.mp4", Clip(times=times))
    clip = Clip(times=even(25, 60), options=(("qp", "0"), ("preset", "ultrafast"), ("g", "5")))
    cut = write_clip(tmp_path / "cut.mkv", clip)
    os.truncate(cut, cut.stat().st_size // 2)
    for source in (pause, cut):
        whole, out = tmp_path / f"whole-{source.stem}.mp4", tmp_path / f"{source.stem}.out.mp4"
        arguments = ["--artifact", str(artifact), *LOSSLESS]
        assert main(["video", str(source), str(whole), *arguments]) == 0
        assert main(["video", str(source), str(out), *arguments, "--resume", "--part-seconds", "0.2"]) == 0
        assert same(whole, out)
    parts = [str(tmp_path / f"{i}.mp4") for i in (1, 2, 3, 4)]
    for i, part in enumerate(parts, 1):
        assert main(["video", str(pause), part, *arguments, "--chunk", f"{i}/4"]) == 0
    assert "has no frames in chunk 3/4" in capsys.readouterr().err
    assert main(["concat", *parts, "-o", str(tmp_path / "joined.mp4")]) == 0
    assert same(tmp_path / "whole-pause.mp4", tmp_path / "joined.mp4")


def test_only_images_decide_on_a_folder(artifact: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(4):
        write_image(draw(i), folder / f"{i}.png")
    options = options_of(folder, folder / "out.mp4", artifact)
    before = fingerprint(options)
    for name in (".DS_Store", "._0.png", "notes.txt"):
        (folder / name).write_text("x")
    assert fingerprint(options) == before
    write_image(draw(9), folder / "3.png")
    assert fingerprint(options) != before
    arguments = ["--artifact", str(artifact), "--resume", "--part-seconds", "0.1"]
    assert main(["video", str(folder), str(folder / "out.mp4"), *arguments]) == 0
    assert len(read_video(folder / "out.mp4")) == 8


@pytest.mark.parametrize(
    "damage", [{"unit": "1/0"}, {"unit": "0"}, {"slowdown": "-1"}, {"chunk": [1, 2]}, {"chunk": "0/2"}]
)
def test_damaged_tags(damage: dict[str, Any]) -> None:
    tag = {"job": "x", "chunk": "1/2", "start": "0", "unit": "1/50", "slowdown": "1"}
    assert PartTag.read({"ifrnet": json.dumps(tag)}, Path("a.nut")).chunk == Chunk(index=1, count=2)
    with pytest.raises(VideoError, match="is not a part made with --chunk"):
        PartTag.read({"ifrnet": json.dumps(tag | damage)}, Path("a.nut"))


def test_chunks_without_any_frame_make_no_video(tmp_path: Path) -> None:
    parts = [tmp_path / f"{i}.nut" for i in (1, 2)]
    for i, part in enumerate(parts, 1):
        tag = PartTag(
            job="x", chunk=Chunk(index=i, count=2), start=Fraction(0), unit=Fraction(1, 50), slowdown=Fraction(1)
        )
        tag.mark_empty(part, force=False)
    with pytest.raises(VideoError, match="none of the chunks has a frame"):
        concat(parts, tmp_path / "out.mp4", source=None, audio=AudioMode.COPY, subtitles=True, force=False, note=print)
    assert not (tmp_path / "out.mp4").exists()


def test_more_parts_than_files_can_be_open(artifact: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 60)))
    arguments = ["--artifact", str(artifact), *LOSSLESS, "--chunk"]
    parts = [tmp_path / f"{i}.nut" for i in range(1, 31)]
    for i, part in enumerate(parts, 1):
        assert main(["video", str(source), str(part), *arguments, f"{i}/{len(parts)}"]) == 0
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, limits[1]))
    try:
        told: dict[str, Any] = {"audio": AudioMode.COPY, "subtitles": True, "force": False, "note": lambda _: None}
        concat(parts, tmp_path / "out.mp4", source=None, **told)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(read_video(tmp_path / "out.mp4")) == 120


def test_the_output_of_concat_is_never_a_part_by_mistake(artifact: Path, tmp_path: Path) -> None:
    """Whoever puts the output last, or forgets it, loses no part; what was said in earlier versions is understood."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 10)))
    a, b, out = (str(tmp_path / name) for name in ("a.nut", "b.nut", "out.mp4"))
    for part, chunk in ((a, "1/2"), (b, "2/2")):
        assert main(["video", str(source), part, "--artifact", str(artifact), "--chunk", chunk]) == 0
    before = [Path(part).read_bytes() for part in (a, b, str(source))]
    for wrong in ([a, b], [a, b, out], [a, b, out, "--force"], [a, b, "--force"], [a]):
        with pytest.raises(UsageError, match="name it with -o"):
            main(["concat", *wrong])
    for wrong in ([a, b, "-o", a, "--force"], [a, b, "-o", str(source), "--source", str(source), "--force"]):
        with pytest.raises(UsageError, match="is one of the inputs"):
            main(["concat", *wrong])
    assert [Path(part).read_bytes() for part in (a, b, str(source))] == before
    assert main(["concat", out, a, b]) == 0
    assert len(read_video(Path(out))) == 20
