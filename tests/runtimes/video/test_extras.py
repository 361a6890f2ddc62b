"""Deinterlacing, numbered patterns as input, and the estimate before a long job."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from runtimes.__main__ import main
from runtimes.errors import UsageError
from runtimes.frames import Array
from runtimes.video.errors import VideoError
from runtimes.video.other_streams import timecode_at
from runtimes.video.stills import read_image, write_image
from tests.runtimes.video.clips import Clip, draw, even, read_video, write_clip


def combed(index: int) -> Array:
    """Two moments in one picture: even lines at one, odd lines half a frame later."""
    frame = draw(8 * index)
    frame[1::2] = draw(8 * index + 4)[1::2]
    return frame


def comb(frame: Array) -> float:
    """How much lines differ from their neighbours, more than from those two lines away."""
    luma = frame[..., 1].astype(float)
    near, far = np.abs(np.diff(luma, axis=0)).mean(), np.abs(luma[2:] - luma[:-2]).mean()
    return float(near / far)


def test_deinterlace(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (("qp", "0"), ("preset", "ultrafast"), ("x264-params", "tff=1"))
    clip = Clip(times=even(25, 8), pixel_format="yuv422p", options=options, pictures=combed)
    source = write_clip(tmp_path / "in.mp4", clip)
    arguments = ["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact)]
    assert main(arguments) == 0
    assert "is interlaced, which shows as combs: pass --deinterlace" in capsys.readouterr().err
    assert main([*arguments, "--deinterlace", "--force"]) == 0
    assert "combs" not in capsys.readouterr().err
    before, after = read_video(source), read_video(tmp_path / "out.mp4")
    assert [frame.time for frame in after] == [Fraction(i, 50) for i in range(16)]
    assert min(comb(frame.rgb) for frame in before[1:7]) > 1
    assert max(comb(frame.rgb) for frame in after[2:14:2]) < 0.9
    moments = [np.abs(after[2].rgb.astype(float) - draw(i)).mean() for i in (8, 12)]
    assert min(moments) < 4 < 20 < max(moments), "one field's moment and nothing of the other"


def test_images_are_not_deinterlaced(artifact: Path, tmp_path: Path) -> None:
    write_image(draw(0), tmp_path / "0.png")
    with pytest.raises(UsageError, match="--deinterlace is for videos"):
        main(["video", str(tmp_path), str(tmp_path / "out.mp4"), "--artifact", str(artifact), "--deinterlace"])


@pytest.mark.parametrize(
    ("pattern", "shown"), [("f_%03d.png", [0, 1, 2]), ("f_%d.png", [0, 1, 2, 3]), ("g%d.png", [4, 5])]
)
def test_a_numbered_pattern_takes_its_images_only(
    artifact: Path, tmp_path: Path, pattern: str, shown: list[int]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for index, name in enumerate(["f_008.png", "f_009.png", "f_010.png", "f_11.png", "g1.png", "g2.png", "f_x.png"]):
        write_image(draw(index), folder / name)
    assert main(["video", str(folder / pattern), str(tmp_path / "out"), "--artifact", str(artifact)]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 2 * len(shown)
    # Numbers decide the order: 8, 9, 10, 11.
    for place, index in enumerate(shown):
        assert np.array_equal(read_image(tmp_path / "out" / names[2 * place]), draw(index))
    arguments = ["--artifact", str(artifact), "--resume", "--part-seconds", "0.1"]
    assert main(["video", str(folder / pattern), str(tmp_path / "out.mp4"), *arguments]) == 0
    assert len(read_video(tmp_path / "out.mp4")) == 2 * len(shown)


def test_a_pattern_without_images(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"no_%03d.png holds no images"):
        main(["video", str(tmp_path / "no_%03d.png"), str(tmp_path / "out.mp4"), "--artifact", str(artifact)])
    write_image(draw(0), tmp_path / "f_1.png")
    with pytest.raises(UsageError, match="is the input or holds it"):
        main(["video", str(tmp_path / "f_%d.png"), str(tmp_path / "%d.png"), "--artifact", str(artifact), "--force"])


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out"])
def test_dry_run_writes_nothing(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 150), audio="aac"))
    assert main(["video", str(source), str(tmp_path / name), "--artifact", str(artifact), "--dry-run"]) == 0
    said = capsys.readouterr().err
    found = re.search(r"about (\d+) frames in \d+:\d\d:\d\d( and \S+ MB of video)?", said)
    assert found is not None, said
    assert abs(int(found[1]) - 300) < 10
    assert (found[2] is not None) == (name == "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "in.mp4"]


def test_the_size_of_a_dry_run_is_near(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 200)))
    arguments = ["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact)]
    assert main([*arguments, "--dry-run"]) == 0
    said = re.search(r"and (\S+) MB of video", capsys.readouterr().err)
    assert said is not None
    assert main(arguments) == 0
    assert float(said[1]) == pytest.approx((tmp_path / "out.mp4").stat().st_size / 1e6, rel=0.3)


@pytest.mark.parametrize(
    ("options", "count", "step"),
    [
        (["--factor", "2.5"], 25, Fraction(2, 125)),
        (["--factor", "5/2"], 25, Fraction(2, 125)),
        (["--slowmo", "1.5"], 15, Fraction(1, 25)),
        (["--slowmo", "3/2", "--factor", "3"], 30, Fraction(1, 50)),
        (["--factor", "2.0"], 20, Fraction(1, 50)),
    ],
)
def test_fractions(artifact: Path, tmp_path: Path, options: list[str], count: int, step: Fraction) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 10)))
    assert main(["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact), *options]) == 0
    assert [frame.time for frame in read_video(tmp_path / "out.mp4")] == [i * step for i in range(count)]


def test_fractions_need_a_constant_rate(artifact: Path, tmp_path: Path) -> None:
    times = [Fraction(x, 1000) for x in (0, 33, 120, 133, 261, 300)]
    source = write_clip(tmp_path / "in.mp4", Clip(times=times))
    with pytest.raises(UsageError, match=r"a factor of 2\.5 needs a constant frame rate"):
        main(["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact), "--factor", "2.5"])


def test_images_of_other_kinds(tmp_path: Path) -> None:
    from PIL import Image

    for suffix in ("bmp", "tiff", "ppm", "tga"):
        Image.fromarray(draw(0)).save(tmp_path / f"a.{suffix}")
        assert np.array_equal(read_image(tmp_path / f"a.{suffix}"), draw(0))
    Image.fromarray(draw(0)).save(tmp_path / "a.eps")
    with pytest.raises(VideoError, match="cannot be read as an image"):
        read_image(tmp_path / "a.eps")


def test_loop_goes_on_to_the_first_frame(artifact: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 4), pixel_format="yuv444p"))
    arguments = ["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact), "--factor", "4"]
    lossless = ["--encoder-option", "qp=0", "--preset", "ultrafast", "--no-scene-cuts"]
    assert main([*arguments, *lossless, "--loop"]) == 0
    found = read_video(tmp_path / "out.mp4")
    assert [frame.time for frame in found] == [Fraction(i, 100) for i in range(16)]
    last, first = found[12].rgb.astype(float), found[0].rgb.astype(float)
    for step in (1, 2, 3):
        blend = last + (first - last) * step / 4
        assert np.abs(found[12 + step].rgb - blend).mean() < 1.5
    assert np.abs(last - first).mean() > 10
    for extra in (["--resume"], ["--chunk", "1/2"]):
        with pytest.raises(UsageError, match="--loop needs the first frame at the end"):
            main([*arguments, "--loop", "--force", *extra])


def test_loop_of_a_stretch_goes_on_to_its_own_first_frame(artifact: Path, tmp_path: Path) -> None:
    """Frames 3 to 5 of 8; what is decoded before the stretch, from the key frame on, is no part of it."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 8), pixel_format="yuv444p"))
    lossless = ["--encoder-option", "qp=0", "--preset", "ultrafast", "--no-scene-cuts"]
    base = ["--artifact", str(artifact), "--factor", "4", "--loop", *lossless]
    for stretch, count in ((["--start", "0.12", "--end", "0.24"], 3), (["--start", "0.12"], 5), (["--end", "0.2"], 5)):
        target = tmp_path / "out.mp4"
        assert main(["video", str(source), str(target), "--force", *base, *stretch]) == 0
        found = read_video(target)
        assert [frame.time for frame in found] == [Fraction(i, 100) for i in range(4 * count)]
        last, first = found[-4].rgb.astype(float), found[0].rgb.astype(float)
        for step in (1, 2, 3):
            assert np.abs(found[step - 4].rgb - (last + (first - last) * step / 4)).mean() < 1.5


def test_several_videos(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One is damaged: the others are done, one line sums up, and the exit code says it."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for name in ("a.mp4", "c.ts"):
        write_clip(folder / name, Clip(times=even(25, 4)))
    (folder / "b.mp4").write_bytes(b"nothing" * 100)
    (folder / "notes.txt").write_text("x")
    arguments = ["--artifact", str(artifact), "--preset", "ultrafast"]
    assert main(["video", str(folder), str(out), *arguments]) == 1
    said = capsys.readouterr().err
    assert f"3 videos: 2 done, 1 failed; {folder / 'b.mp4'}" in said
    assert "[3/3]" in said
    assert sorted(path.name for path in out.iterdir()) == ["a.mp4", "c.mkv"]
    assert all(len(read_video(path)) == 8 for path in out.iterdir())
    named = [str(folder / name) for name in ("a.mp4", "c.ts")]
    assert main(["video", *named, str(out), *arguments, "--force"]) == 0
    assert "2 videos: 2 done, 0 failed" in capsys.readouterr().err
    with pytest.raises(UsageError, match="2 videos go to a folder, and"):
        main(["video", *named, str(tmp_path / "out.mp4"), *arguments])
    (tmp_path / "more").mkdir()
    twin = write_clip(tmp_path / "more" / "a.mp4", Clip(times=even(25, 4)))
    with pytest.raises(UsageError, match="would both become"):
        main(["video", named[0], str(twin), str(out), *arguments])
    with pytest.raises(UsageError, match="--stats and --chunk belong to one video"):
        main(["video", *named, str(out), *arguments, "--stats", str(tmp_path / "s.json")])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("slowmo", [[], ["--slowmo", "2", "--audio", "stretch"]])
def test_start_and_end(artifact: Path, tmp_path: Path, suffix: str, slowmo: list[str]) -> None:
    """From 0.4 s up to 1.2 s: frames 10 to 29, from time 0 on, with the sound of that time."""
    source = write_clip(tmp_path / f"in{suffix}", Clip(times=even(25, 50), audio="aac"))
    target = tmp_path / "out.mp4"
    arguments = ["video", str(source), str(target), "--artifact", str(artifact)]
    lossless = ["--encoder-option", "qp=0", "--preset", "ultrafast"]
    assert main([*arguments, *lossless, "--start", "0.4", "--end", "0:1.2", *slowmo]) == 0
    factor = 2 if slowmo else 1
    before, after = read_video(source), read_video(target)
    assert [frame.time for frame in after] == [Fraction(i * factor, 50) for i in range(40)]
    assert all(np.array_equal(a.planes, b.planes) for a, b in zip(before[10:30], after[::2], strict=True))
    with av.open(str(target)) as container:
        frames = list(container.decode(audio=0))
    length = sum(frame.samples for frame in frames) / 48000
    assert frames[0].time == pytest.approx(0, abs=0.025 * factor)
    assert length == pytest.approx(0.8 * factor, abs=0.15)


@pytest.mark.parametrize(
    ("options", "expected"), [([], "10:20:30:24"), (["--resume"], "10:20:30:24"), (["--start", "0.2"], None)]
)
def test_a_timecode_is_that_of_the_first_frame_or_left_out(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: str | None
) -> None:
    """As cameras write it; in MP4 and MOV it is a track. Its last number counts frames, which are twice as many."""
    plain = write_clip(tmp_path / "a.mp4", Clip(times=even(25, 10)))
    source, target = tmp_path / "a.mov", tmp_path / "b.mov"
    with av.open(str(plain)) as before, av.open(str(source), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        stream.metadata["timecode"] = "10:20:30:12"
        for packet in before.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                after.mux(packet)
    assert main(["video", str(source), str(target), "--artifact", str(artifact), *options]) == 0
    with av.open(str(target)) as container:
        assert container.streams.video[0].metadata.get("timecode") == expected
        assert len(container.streams) == (2 if expected else 1)
    said = capsys.readouterr().err
    assert ("is that of its beginning: left out with --start" in said) == (expected is None)
    assert "not carried over" not in said, "the track that is made of it"


@pytest.mark.parametrize(
    ("text", "before", "after", "expected"),
    [
        ("01:00:00:23", Fraction(24000, 1001), Fraction(48000, 1001), "01:00:00:46"),
        ("01:00:00;02", Fraction(30000, 1001), Fraction(60000, 1001), "01:00:00;04"),
        ("01:00:00;12", Fraction(30000, 1001), Fraction(50), "01:00:00:20"),
        ("01:00:00:00", Fraction(1, 10), Fraction(24), "01:00:00:00"),
        ("noon", Fraction(24), Fraction(48), "noon"),
    ],
)
def test_timecodes_of_other_rates(text: str, before: Fraction, after: Fraction, expected: str) -> None:
    """Numbers are skipped at multiples of 29.97 frames a second only: elsewhere muxers would write none."""
    assert timecode_at(text, before, after) == expected


def test_start_alone_and_end_alone(artifact: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 20)))
    for options, count in ((["--start", "0.4"], 20), (["--end", "0.4"], 20), (["--start", "0", "--end", "9"], 40)):
        target = tmp_path / "out.y4m"
        assert main(["video", str(source), str(target), "--artifact", str(artifact), "--force", *options]) == 0
        assert len(read_video(target)) == count


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--start", "2"], "has no frames between --start and --end"),
        (["--start", "1", "--end", "0.5"], "enclose nothing"),
        (["--start", "0.1", "--resume"], "are for one run"),
    ],
)
def test_times_that_enclose_nothing(artifact: Path, tmp_path: Path, options: list[str], expected: str) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 20)))
    with pytest.raises((VideoError, UsageError), match=expected):
        main(["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact), *options])
    assert not list(tmp_path.glob("*out*"))


def test_images_before_the_start_only(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for index in range(3):
        write_image(draw(index), tmp_path / "in" / f"{index}.png")
    with pytest.raises(VideoError, match="has no frames between --start and --end"):
        main(["video", str(tmp_path / "in"), str(tmp_path / "out.mp4"), "--artifact", str(artifact), "--start", "9"])
