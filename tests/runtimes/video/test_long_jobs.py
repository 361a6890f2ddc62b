"""Chunks, joining them, and going on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from runtimes.__main__ import main
from runtimes.contract import Timesteps
from runtimes.video.errors import VideoError
from tests.runtimes.video.clips import Blender, Clip, draw, even, read_video, write_artifact, write_clip
from tests.runtimes.video.test_bad_input import command
from tests.runtimes.video.test_companions import packets

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
    assert main(["concat", str(tmp_path / "joined.mp4"), *order, "--source", str(source)]) == 0
    assert same(tmp_path / "whole.mp4", tmp_path / "joined.mp4")
    if clip.audio:
        assert packets(tmp_path / "whole.mp4") == packets(tmp_path / "joined.mp4")


def test_chunks_in_mp4_and_with_b_frames(artifact: Path, tmp_path: Path) -> None:
    """The default encoder reorders frames; joined, they decode to what each part decodes to."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 40)))
    parts = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for i, part in enumerate(parts, 1):
        assert main(["video", str(source), str(part), "--artifact", str(artifact), "--chunk", f"{i}/2"]) == 0
    assert main(["concat", str(tmp_path / "out.mp4"), *map(str, parts)]) == 0
    joined = read_video(tmp_path / "out.mp4")
    assert [frame.time for frame in joined] == [Fraction(i, 50) for i in range(80)]
    apart = [frame for part in parts for frame in read_video(part)]
    assert all(np.array_equal(a.planes, b.planes) for a, b in zip(apart, joined, strict=True))


def test_what_cannot_be_joined(artifact: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 20)))
    for name, options in (("a", ["1/2"]), ("b", ["2/2"]), ("c", ["2/2", "--factor", "4"])):
        chunk = ["--chunk", *options]
        assert main(["video", str(source), str(tmp_path / f"{name}.nut"), "--artifact", str(artifact), *chunk]) == 0
    out, a, b, c = (str(tmp_path / name) for name in ("out.mp4", "a.nut", "b.nut", "c.nut"))
    for parts, reason in (
        ([a], "has 2 chunks, 1 are given and lacking are 2"),
        ([a, b, b], "some are given twice"),
        ([a, c], "of different jobs"),
        ([a, str(source)], "is not a part made with --chunk"),
    ):
        with pytest.raises(VideoError, match=reason):
            main(["concat", out, *parts])
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


def test_a_killed_job_loses_one_part_at_most(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact", timesteps=Timesteps.ANY)
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 100), pictures=lambda i: draw(i)))
    arguments = [source, tmp_path / "out.mp4", "--artifact", artifact, "--resume", "--part-seconds", "1"]
    with subprocess.Popen(command(*arguments), stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("out.mp4.parts-*/*.nut"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    parts = sorted(tmp_path.glob("out.mp4.parts-*/*.nut"))
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
    from runtimes.errors import UsageError

    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 5)))
    with pytest.raises(UsageError, match="needs a file as input and a video file"):
        main(["video", str(source), str(tmp_path / "out.gif"), "--artifact", str(artifact), "--resume"])


def test_parts_say_where_they_belong(artifact: Path, tmp_path: Path) -> None:
    """20 frames of 23.976 last 0.834 s; the first 60th of a second in their second half is the 26th, 13/30 s."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(NTSC, 20), rate=NTSC))
    part = tmp_path / "part.mp4"
    assert main(["video", str(source), str(part), "--artifact", str(artifact), "--chunk", "2/2", "--fps", "60"]) == 0
    with av.open(str(part)) as container:
        tag = json.loads(container.metadata["ifrnet"])
    assert (tag["chunk"], tag["start"], tag["unit"]) == ("2/2", "13/30", "1/60")
