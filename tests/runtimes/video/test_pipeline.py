"""Whole jobs: a clip in, a file out, and what is in it."""

from __future__ import annotations

import errno
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from runtimes.__main__ import main
from runtimes.contract import Size, Timesteps
from runtimes.errors import UsageError
from runtimes.video.color import Color
from runtimes.video.options import InferOptions, VideoOptions
from runtimes.video.pipeline import open_job
from runtimes.video.plan import BATCH, Picture, Planner, Rules, Segment
from runtimes.video.summary import Progress
from runtimes.video.timeline import Timing
from tests.runtimes.video.clips import SIZE, Blender, Clip, draw, even, read_video, write_artifact, write_clip

LOSSLESS = ("--encoder-option", "qp=0", "--preset", "ultrafast")

Video = Callable[..., int]


@pytest.fixture
def video(artifact: Path) -> Video:
    """``python -m runtimes video`` with the blending artifact and a lossless encoder."""

    def call(source: Path | str, target: Path | str, *options: str, lossless: bool = True) -> int:
        extra = LOSSLESS if lossless else ()
        return main(["video", str(source), str(target), "--artifact", str(artifact), *extra, *options])

    return call


def test_a_factor_of_two_keeps_originals_and_adds_middles(video: Video, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 6)))
    assert video(source, tmp_path / "out.mp4") == 0
    before, after = read_video(source), read_video(tmp_path / "out.mp4")
    assert [frame.time for frame in after] == [Fraction(i, 50) for i in range(12)]
    for original, kept in zip(before, after[::2], strict=True):
        assert np.array_equal(original.planes, kept.planes), "an original frame changed on its way to the encoder"
    for i, (a, b) in enumerate(itertools.pairwise(before)):
        blend = (a.rgb.astype(np.float32) + b.rgb) / 2
        assert np.abs(after[2 * i + 1].rgb - blend).mean() < 2.5
        assert np.abs(after[2 * i + 1].rgb - a.rgb.astype(np.float32)).mean() > 5, "the clip must move for this test"
    assert np.array_equal(after[-1].planes, before[-1].planes), "the last frame is held"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_ntsc_to_60_is_exact(video: Video, tmp_path: Path, suffix: str) -> None:
    """Matroska rounds to milliseconds on both sides; the grid in between is exact, so t is too."""
    source = write_clip(
        tmp_path / f"in{suffix}", Clip(times=even(Fraction(24000, 1001), 8), rate=Fraction(24000, 1001))
    )
    assert video(source, tmp_path / "out.mp4", "--fps", "60") == 0
    after = read_video(tmp_path / "out.mp4")
    assert [frame.time for frame in after] == [Fraction(i, 60) for i in range(len(after))]
    assert abs(len(after) / 60 - 8 * 1001 / 24000) <= 1 / 60


def test_steps_of_ntsc_from_matroska_are_exact(video: Video, tmp_path: Path, blenders: list[Blender]) -> None:
    source = write_clip(tmp_path / "in.mkv", Clip(times=even(Fraction(24000, 1001), 8), rate=Fraction(24000, 1001)))
    assert video(source, tmp_path / "out.mp4", "--fps", "60") == 0
    wanted = [Fraction(i, 60) * Fraction(24000, 1001) for i in range(1, 18)]
    assert blenders[-1].calls == pytest.approx([float(x % 1) for x in wanted], abs=1e-6)


def test_variable_rate_keeps_its_times(video: Video, tmp_path: Path, blenders: list[Blender]) -> None:
    times = [Fraction(x, 1000) for x in (500, 533, 600, 633, 733, 750, 800)]
    source = write_clip(tmp_path / "in.mp4", Clip(times=times))
    assert video(source, tmp_path / "out.mp4", "--factor", "4") == 0
    expected = [a + (b - a) * i / 4 for a, b in itertools.pairwise(times) for i in range(4)]
    assert [frame.time for frame in read_video(tmp_path / "out.mp4")] == expected
    assert set(blenders[-1].calls) == {0.25, 0.5, 0.75}


def test_slow_motion(video: Video, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 5), audio="aac"))
    assert video(source, tmp_path / "out.mp4", "--slowmo", "4") == 0
    assert "drops the sound" in capsys.readouterr().err
    after = read_video(tmp_path / "out.mp4")
    assert [frame.time for frame in after] == [Fraction(i, 25) for i in range(20)]
    assert all(np.array_equal(a.planes, b.planes) for a, b in zip(read_video(source), after[::4], strict=True))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


def test_a_middle_model_halves(tmp_path: Path, blenders: list[Blender]) -> None:
    folder = write_artifact(tmp_path / "middle", timesteps=Timesteps.MIDDLE)
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 3)))
    arguments = ["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(folder), *LOSSLESS, "--factor", "8"]
    assert main(arguments) == 0
    assert blenders[-1].calls == [0.5] * 14, "7 frames in each of 2 intervals, each made once"
    after, before = read_video(tmp_path / "out.mp4"), read_video(source)
    quarter = 0.75 * before[0].rgb.astype(np.float32) + 0.25 * before[1].rgb
    assert np.abs(after[2].rgb - quarter).mean() < 2.5


@pytest.mark.parametrize(
    ("pixel_format", "color"),
    [
        ("yuv420p", Color(matrix=6, full=False, primaries=6, transfer=6)),
        ("yuv420p", Color(matrix=1, full=True, primaries=1, transfer=1)),
        ("yuv444p", Color(matrix=1, full=False, primaries=1, transfer=13)),
        ("yuv420p10le", Color(matrix=9, full=False, primaries=9, transfer=16)),
    ],
)
def test_colours_depth_and_tags_are_kept(video: Video, tmp_path: Path, pixel_format: str, color: Color) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 3), pixel_format=pixel_format, color=color))
    assert video(source, tmp_path / "out.mp4") == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = list(container.decode(video=0))
    assert {frame.format.name.replace("yuvj", "yuv") for frame in frames} == {pixel_format}
    assert {Color.of(frame) for frame in frames} == {color}
    before, after = read_video(source), read_video(tmp_path / "out.mp4")
    depth = 257 if before[0].rgb.dtype == np.uint16 else 1
    for i, frame in enumerate(after[1::2][:2]):
        blend = (before[i].rgb.astype(np.float32) + before[i + 1].rgb) / 2
        assert abs((frame.rgb - blend).mean()) < 0.3 * depth, "a shift in level: wrong matrix or range"
        assert np.abs(frame.rgb - blend).mean() < 2.5 * depth


@pytest.mark.parametrize(("rotation", "turn"), [(90, 1), (-90, 3), (180, 2)])
def test_rotation_is_applied(video: Video, tmp_path: Path, rotation: int, turn: int) -> None:
    folder = write_artifact(tmp_path / "upright", Size(64, 96) if turn % 2 else SIZE)
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 2), rotation=rotation, pixel_format="yuv444p"))
    assert main(["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(folder), *LOSSLESS]) == 0
    after = read_video(tmp_path / "out.mp4")
    assert np.abs(after[0].rgb - np.rot90(draw(0), turn).astype(np.float32)).mean() < 2
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0


def scenes(index: int) -> np.ndarray:
    return draw(index, scene=int(index >= 3))


def test_cuts_are_not_blended(video: Video, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 6), pictures=scenes))
    assert video(source, tmp_path / "out.mp4", "--factor", "4") == 0
    before, after = read_video(source), read_video(tmp_path / "out.mp4")
    assert "1 cuts not blended" in capsys.readouterr().err
    shown = [3 if np.array_equal(after[i].planes, before[3].planes) else 2 for i in (8, 9, 10, 11, 12)]
    assert shown == [2, 2, 3, 3, 3]
    assert all(np.array_equal(after[i].planes, before[2].planes) for i in (8, 9))
    assert video(source, tmp_path / "blended.mp4", "--factor", "4", "--no-scene-cuts") == 0
    assert not np.array_equal(read_video(tmp_path / "blended.mp4")[9].planes, before[2].planes)


def twos(index: int) -> np.ndarray:
    return draw(index // 2 * 2)


def test_dedup_replaces_repeated_frames(video: Video, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(24, 7), pictures=twos, rate=Fraction(24)))
    assert video(source, tmp_path / "out.mp4", "--dedup") == 0
    assert "3 duplicates replaced" in capsys.readouterr().err
    before, after = read_video(source), read_video(tmp_path / "out.mp4")
    assert len(after) == 14
    assert np.array_equal(after[4].planes, before[2].planes)
    quarter = 0.75 * before[0].rgb.astype(np.float32) + 0.25 * before[2].rgb
    assert np.abs(after[1].rgb - quarter).mean() < 2.5, "the step is to the next new frame, not to the repeated one"


@pytest.mark.parametrize(("rate", "like", "replaced"), [(24, 4, 3), (24, 5, 0), (6, 3, 2), (6, 4, 0)])
def test_a_still_is_no_repeated_frame(
    video: Video, tmp_path: Path, capsys: pytest.CaptureFixture[str], rate: int, like: int, replaced: int
) -> None:
    """More than four frames, or more than half a second, that look alike: the motion begins after the last of them."""
    clip = Clip(times=even(rate, like + 2), pictures=lambda i: draw(9 * max(0, i - like + 1)), rate=Fraction(rate))
    source = write_clip(tmp_path / "in.mp4", clip)
    assert video(source, tmp_path / "out.mp4", "--dedup", "--no-scene-cuts") == 0
    said = capsys.readouterr().err
    assert f"{replaced} duplicates replaced" in said if replaced else "duplicates replaced" not in said
    before, after = read_video(source), read_video(tmp_path / "out.mp4")
    last = after[2 * (like - 1)].planes
    assert np.array_equal(last, before[like - 1].planes) == (replaced == 0)


def test_several_devices_share_the_work_in_order(video: Video, tmp_path: Path, blenders: list[Blender]) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 24)))
    assert video(source, tmp_path / "one.mp4") == 0
    assert video(source, tmp_path / "two.mp4", "--device", "cpu", "--device", "cpu:1") == 0
    assert [blender.spec.device for blender in blenders[1:]] == ["cpu", "cpu:1"]
    assert len(blenders[1].calls) + len(blenders[2].calls) == 23
    one, two = read_video(tmp_path / "one.mp4"), read_video(tmp_path / "two.mp4")
    assert len(one) == 48
    assert all(np.array_equal(a.planes, b.planes) for a, b in zip(one, two, strict=True))


def test_tiles_and_averaging_agree_with_the_whole(
    video: Video, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A blend has no context, so tiles and flips must change nothing but rounding."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 3)))
    tiles = write_artifact(tmp_path / "tiles", Size(48, 40))
    assert video(source, tmp_path / "whole.mp4") == 0
    options = ["--tile", "48x40", "--overlap", "8", "--tta", *LOSSLESS]
    assert main(["video", str(source), str(tmp_path / "tiled.mp4"), "--artifact", str(tiles), *options]) == 0
    said = capsys.readouterr().err
    assert "1.88 pixels for each pixel shown" in said
    assert "8 times for each frame" in said
    for a, b in zip(read_video(tmp_path / "whole.mp4"), read_video(tmp_path / "tiled.mp4"), strict=True):
        assert np.abs(a.planes.astype(int) - b.planes).max() <= 1


def test_stats_are_written(video: Video, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 4)))
    assert video(source, tmp_path / "out.mp4", "--stats", str(tmp_path / "s.json")) == 0
    stats = json.loads((tmp_path / "s.json").read_text())
    assert (stats["frames_in"], stats["frames_out"], stats["inferred"], stats["complete"]) == (4, 8, 3, True)
    assert 0 < stats["throughput"] < stats["infer_throughput"]


@pytest.mark.parametrize("name", ["in.mp4", "old.json", "link.json", "out.mp4", "none/s.json", "artifacts"])
def test_stats_replace_nothing(video: Video, tmp_path: Path, blenders: list[Blender], name: str) -> None:
    """Known before the work, with --force too."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 4)))
    (tmp_path / "old.json").write_text("precious")
    (tmp_path / "link.json").symlink_to("nowhere")
    before = source.read_bytes()
    with pytest.raises(UsageError, match="--stats"):
        video(source, tmp_path / "out.mp4", "--stats", str(tmp_path / name), "--force")
    assert not blenders
    assert (source.read_bytes(), (tmp_path / "old.json").read_text()) == (before, "precious")


def test_stats_on_a_full_disk(video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The video is done then, and the file of the statistics is named."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 4)))

    def full(path: Path, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UsageError, match=r"out.mp4 is done, but --stats .*s.json is not: No space left on device"):
        video(source, tmp_path / "out.mp4", "--stats", str(tmp_path / "s.json"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "in.mp4", "out.mp4"]


def test_odd_sizes_are_encoded_without_subsampling(
    tmp_path: Path, blenders: list[Blender], capsys: pytest.CaptureFixture[str]
) -> None:
    size = Size(97, 63)
    folder = write_artifact(tmp_path / "odd", size)
    clip = Clip(times=even(25, 3), size=size, codec="ffv1", options=(), pictures=lambda i: draw(i, size))
    source = write_clip(tmp_path / "in.mkv", clip)
    assert main(["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(folder)]) == 0
    assert "yuv420p is encoded as yuv444p: 97x63 is odd" in capsys.readouterr().err
    assert read_video(tmp_path / "out.mp4")[1].rgb.shape == (63, 97, 3)


def test_memory_is_flat(artifact: Path, blenders: list[Blender], tmp_path: Path) -> None:
    """Resident memory at output frame 500 is that at frame 50, within a quarter of what the frames would add."""
    size = Size(320, 180)
    folder = write_artifact(tmp_path / "wide", size)
    clip = Clip(times=even(25, 260), size=size, pictures=lambda i: draw(i % 20, size))
    source = write_clip(tmp_path / "in.mp4", clip)
    resident: dict[int, int] = {}
    process = psutil.Process()

    def watch(progress: Progress) -> None:
        if progress.frames_out in (50, 500):
            resident[progress.frames_out] = process.memory_info().rss

    options = VideoOptions(
        source=str(source),
        target=str(tmp_path / "out.y4m"),
        timing=Timing(factor=2),
        infer=InferOptions(artifact=folder),
    )
    with ExitStack() as stack:
        open_job(options, stack, note=lambda _: None, progress=watch).run()
    assert len(resident) == 2
    frames = 450 * 3 * size.width * size.height
    assert resident[500] - resident[50] < frames / 4


def test_memory_is_flat_over_a_pause(artifact: Path, blenders: list[Blender], tmp_path: Path) -> None:
    """60 frames a second over a pause of 15 s: the network's frames of the pause would be 155 MB."""
    size = Size(320, 180)
    folder = write_artifact(tmp_path / "wide", size)
    times = [Fraction(x, 25) for x in (0, 1, 2, 377, 378, 379)]
    source = write_clip(tmp_path / "in.mkv", Clip(times=times, size=size, pictures=lambda i: draw(i, size)))
    resident: list[int] = []
    process = psutil.Process()

    def watch(progress: Progress) -> None:
        if progress.frames_out % 50 == 0:
            resident.append(process.memory_info().rss)

    options = VideoOptions(
        source=str(source),
        target=str(tmp_path / "out.y4m"),
        timing=Timing(factor=None, fps=Fraction(60)),
        infer=InferOptions(artifact=folder),
    )
    with ExitStack() as stack:
        summary = open_job(options, stack, note=lambda _: None, progress=watch).run()
    assert (summary.frames_out, len(blenders[-1].calls)) == (910, 907), "one is the first frame, two hold the last"
    assert max(resident) - resident[0] < 30e6


def planned_at_60(second: Fraction) -> Iterator[Segment]:
    """The segments at 60 frames a second of two pictures, at 0 and at ``second``."""
    picture = {"duration": None, "native": None, "thumbnail": None, "rgb": draw(0)}
    pictures = [Picture(time=time, **picture) for time in (Fraction(0), second)]  # type: ignore[arg-type]
    timing = Timing(factor=None, fps=Fraction(60))
    rules = Rules(timing=timing, timesteps=Timesteps.ANY, origin=Fraction(0), rate=None, cut_threshold=None)
    return Planner(rules, "x").plan(pictures)


def test_a_pause_of_a_year_gives_its_first_frames_at_once() -> None:
    segments = list(itertools.islice(planned_at_60(Fraction(31_536_000)), 3))
    assert [len(segment.slots) for segment in segments] == [BATCH] * 3
    assert [slot.time * 60 for segment in segments for slot in segment.slots] == list(range(3 * BATCH))


def test_a_time_that_float32_rounds_to_the_next_frame_stays_before_it() -> None:
    """Slot 120, at 2 s, lies 2e-8 of the pause before the frame that a recorder timed 40 ns late."""
    steps = [t for segment in planned_at_60(2 + Fraction(4, 10**8)) for t in segment.steps if segment.right is not None]
    assert len(steps) == 121
    assert steps[120] < 1 - Fraction(1, 10**8)
    for t in steps[1:]:
        Timesteps.ANY.check(float(t))
