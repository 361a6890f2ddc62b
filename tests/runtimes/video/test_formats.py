"""Folders of images, GIF, y4m files and pipes."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from runtimes.__main__ import main
from runtimes.contract import Size
from runtimes.errors import UsageError
from runtimes.video.encoders import DEFAULTS, EncodeOptions
from runtimes.video.errors import VideoError
from runtimes.video.source import VideoSource
from runtimes.video.stills import read_image, write_image
from tests.runtimes.video.clips import SIZE, Clip, draw, even, read_video, write_artifact, write_clip


def job(artifact: Path, source: Path | str, target: Path | str, *options: str) -> int:
    return main(["video", str(source), str(target), "--artifact", str(artifact), *options])


def image_folder(folder: Path, count: int, suffix: str = ".png") -> Path:
    folder.mkdir()
    for i in range(count):
        write_image(draw(i), folder / f"shot_{i + 8}{suffix}")  # 8, 9, 10: sorts as numbers only
    return folder


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_folder_to_folder_keeps_originals(artifact: Path, tmp_path: Path, suffix: str) -> None:
    source = image_folder(tmp_path / "in", 4, suffix)
    assert job(artifact, source, tmp_path / "out") == 0
    names = [f"{i:06d}.png" for i in range(1, 9)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    for i in range(4):
        original = read_image(source / f"shot_{i + 8}{suffix}")
        assert np.array_equal(read_image(tmp_path / "out" / names[2 * i]), original)
    middle = (draw(0).astype(int) + draw(1)) / 2
    assert np.abs(read_image(tmp_path / "out" / names[1]) - middle).mean() < (1 if suffix != ".jpg" else 4)


def test_folder_of_16_bits_stays_deep(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(2):
        write_image(draw(i).astype(np.uint16) * 257 + 3, tmp_path / "in" / f"{i}.png")
    assert job(artifact, tmp_path / "in", tmp_path / "out" / "deep_%03d.png") == 0
    a, middle, b = (read_image(tmp_path / "out" / f"deep_{i:03d}.png") for i in (1, 2, 3))
    assert a.dtype == np.uint16
    assert np.array_equal(a, draw(0).astype(np.uint16) * 257 + 3)
    assert np.abs(middle - (a.astype(float) + b) / 2).max() <= 1


@pytest.mark.parametrize("suffix", [".tiff", ".pgm"])
def test_gray_of_16_bits_stays_deep(tmp_path: Path, suffix: str) -> None:
    gray = draw(0)[..., 0].astype(np.uint16) * 257 - 3
    Image.fromarray(gray).save(tmp_path / f"gray{suffix}")
    read = read_image(tmp_path / f"gray{suffix}", alpha=True)
    assert read.dtype == np.uint16
    assert (read[..., :3] == gray[..., None]).all()
    assert (read[..., 3] == 65535).all()


@pytest.mark.parametrize("values", [np.float32(0.5), np.int32(70000), np.int32(-1)])
def test_values_beyond_16_bits_are_refused(tmp_path: Path, values: np.generic) -> None:
    Image.fromarray(np.full((8, 8), values)).save(tmp_path / "data.tiff")
    with pytest.raises(VideoError, match=r"data.tiff holds \w+ from .*; expected 8 or 16 bits"):
        read_image(tmp_path / "data.tiff")


@pytest.mark.parametrize("damage", ["truncated", "changed"])
def test_a_deep_png_that_is_damaged(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "deep.png"
    write_image(draw(0).astype(np.uint16) * 257, path)
    data = path.read_bytes()
    half = len(data) // 2
    path.write_bytes(data[:half] + (b"" if damage == "truncated" else bytes(20) + data[half + 20 :]))
    with pytest.raises(VideoError, match=r"deep.png cannot be read as an image: \w+"):
        read_image(path)


def test_folder_to_video_at_the_rate_asked_for(artifact: Path, tmp_path: Path) -> None:
    source = image_folder(tmp_path / "in", 3)
    assert job(artifact, source, tmp_path / "out.mp4", "--input-fps", "23.976") == 0
    found = read_video(tmp_path / "out.mp4")
    assert [frame.time for frame in found] == [Fraction(1001 * i, 48000) for i in range(6)]
    assert np.abs(found[0].rgb - draw(0).astype(float)).mean() < 4


def test_a_folder_is_replaced_whole_or_not_at_all(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = image_folder(tmp_path / "in", 2), image_folder(tmp_path / "out", 3)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if target == out and len(list(path.iterdir())) == 4:
            raise OSError("no")
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with pytest.raises(OSError, match="no"):
            job(artifact, source, out, "--force")
    assert len(list(out.iterdir())) == 3
    assert job(artifact, source, out, "--force") == 0
    assert len(list(out.iterdir())) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "in", "out"]


def test_mixed_folder_is_refused(artifact: Path, tmp_path: Path) -> None:
    source = image_folder(tmp_path / "in", 3)
    write_image(draw(0, Size(90, 64)), source / "shot_99.png")
    with pytest.raises(VideoError, match=r"shot_99.png is 90x64 rgb24, the images before it are 96x64"):
        job(artifact, source, tmp_path / "out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["artifacts", "in"]


@pytest.mark.parametrize("pattern", ["x.png", "x_%s.png", "%d_%d.png"])
def test_patterns(artifact: Path, tmp_path: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match=r"one image|not a pattern"):
        job(artifact, image_folder(tmp_path / "in", 2), tmp_path / pattern)


def test_gif_in_and_out(artifact: Path, tmp_path: Path) -> None:
    images = [Image.fromarray(draw(i)) for i in range(4)]
    images[0].save(tmp_path / "in.gif", save_all=True, append_images=images[1:], duration=80, loop=0)
    assert job(artifact, tmp_path / "in.gif", tmp_path / "out.gif") == 0
    with Image.open(tmp_path / "out.gif") as gif:
        frames = [(frame.info["duration"], np.asarray(frame.convert("RGB"))) for frame in ImageSequence.Iterator(gif)]
        assert gif.info["loop"] == 0
    assert [duration for duration, _ in frames] == [40] * 8
    middle = (np.asarray(images[0].convert("RGB")).astype(int) + images[1].convert("RGB")) / 2
    assert np.abs(frames[1][1] - middle).mean() < 8, "a palette of 256 colours"


def test_gif_does_not_drift(artifact: Path, tmp_path: Path) -> None:
    """30 frames a second are 3, 3 and 4 hundredths."""
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(15, 6), rate=Fraction(15)))
    assert job(artifact, source, tmp_path / "out.gif") == 0
    with Image.open(tmp_path / "out.gif") as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert sum(durations) == 400
    assert set(durations) == {30, 40}


def test_gif_keeps_the_pause_at_its_end(artifact: Path, tmp_path: Path) -> None:
    images = [Image.fromarray(draw(i)) for i in range(4)]
    images[0].save(tmp_path / "in.gif", save_all=True, append_images=images[1:], duration=[100, 100, 100, 2000])
    assert job(artifact, tmp_path / "in.gif", tmp_path / "out.gif") == 0
    with Image.open(tmp_path / "out.gif") as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert durations == [50] * 6 + [1000] * 2


def test_gif_refuses_what_viewers_slow_down(artifact: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(30, 4), rate=Fraction(30)))
    with pytest.raises(VideoError, match=r"at most 50 frames a second, this would be 60: pass --fps 50"):
        job(artifact, source, tmp_path / "out.gif")
    assert not (tmp_path / "out.gif").exists()


def test_gif_refuses_frames_within_one_hundredth(artifact: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=[Fraction(x, 1000) for x in (0, 33, 100, 133, 233, 300)]))
    with pytest.raises(VideoError, match=r"hundredths of a second, and the frame at 0.004 s .* pass --fps"):
        job(artifact, source, tmp_path / "out.gif", "--factor", "8")
    assert not (tmp_path / "out.gif").exists()


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_y4m_holds_the_same_frames(artifact: Path, tmp_path: Path, pixel_format: str) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 3), pixel_format=pixel_format))
    assert job(artifact, source, tmp_path / "out.y4m") == 0
    assert job(artifact, source, tmp_path / "out.mp4", "--encoder-option", "qp=0") == 0
    with av.open(str(tmp_path / "out.y4m")) as container:
        assert container.streams.video[0].format.name == pixel_format
        assert container.streams.video[0].average_rate == 50
    raw, encoded = read_video(tmp_path / "out.y4m"), read_video(tmp_path / "out.mp4")
    assert len(raw) == 6
    assert all(np.array_equal(a.planes, b.planes) for a, b in zip(raw, encoded, strict=True))


def test_y4m_has_one_rate(artifact: Path, tmp_path: Path) -> None:
    times = [Fraction(x, 1000) for x in (0, 33, 100, 133, 233, 300)]
    source = write_clip(tmp_path / "in.mp4", Clip(times=times))
    with pytest.raises(VideoError, match=r"one frame rate .* pass --fps"):
        job(artifact, source, tmp_path / "out.y4m")
    assert job(artifact, source, tmp_path / "out.y4m", "--fps", "30") == 0
    assert len(read_video(tmp_path / "out.y4m")) == 9


B_FRAMES = Clip(times=even(25, 50), options=(("preset", "veryfast"), ("bf", "3"), ("b_strategy", "0"), ("g", "15")))


def luma(source: VideoSource, since: Fraction | None = None) -> list[tuple[Fraction, np.ndarray]]:
    """Times, and the pixels that are coded as they are."""
    found = [(frame.time, frame.native) for frame in source.frames(since)]
    source.close()
    return [(time, frame.to_ndarray()[: SIZE.height]) for time, frame in found if frame is not None]


@pytest.mark.parametrize("written", ["avi", "without pts"])
def test_b_frames_without_presentation_times_are_all_read_in_order(tmp_path: Path, written: str) -> None:
    """AVI has none, and what others write for lack of them is the coded order."""
    source = tmp_path / "in.avi"
    if written == "avi":
        write_clip(source, B_FRAMES)
    else:
        source = tmp_path / "in.mkv"
        whole = write_clip(tmp_path / "whole.mp4", B_FRAMES)
        with av.open(str(whole)) as before, av.open(str(source), "w") as after:
            stream = after.add_stream_from_template(before.streams.video[0])
            for packet in before.demux():
                if packet.dts is not None:
                    packet.pts, packet.stream = packet.dts, stream
                    after.mux(packet)
    with av.open(str(source)) as container:
        decoded = [frame.to_ndarray()[: SIZE.height] for frame in container.decode(video=0)]
    notes: list[str] = []
    found = luma(VideoSource(str(source), notes.append))
    start = found[0][0]
    assert [time - start for time, _ in found] == [Fraction(i, 25) for i in range(50)]
    assert all(np.array_equal(a, b) for (_, a), b in zip(found, decoded, strict=True))
    assert notes == []
    later = luma(VideoSource(str(source), lambda _: None), since=start + Fraction(47, 25))
    assert 3 <= len(later) < 50
    assert all(a == c and np.array_equal(b, d) for (a, b), (c, d) in zip(found[-len(later) :], later, strict=True))


def test_a_bare_stream_has_the_rate_that_it_says(tmp_path: Path) -> None:
    """FFmpeg assumes 25 frames a second of the file."""
    path = write_clip(tmp_path / "in.h264", Clip(times=even(24, 12), rate=Fraction(24)))
    source = VideoSource(str(path), lambda _: None)
    assert source.info.rate == 24
    source.close()
    again = VideoSource(str(path), lambda _: None)
    assert [frame.time for frame in again.frames()] == [Fraction(i, 24) for i in range(12)]
    again.close()


def test_frames_whose_times_repeat_are_counted(tmp_path: Path) -> None:
    write_clip(tmp_path / "whole.mkv", Clip(times=even(25, 6)))
    with av.open(str(tmp_path / "whole.mkv")) as before, av.open(str(tmp_path / "in.mkv"), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux():
            if packet.pts is not None:
                packet.pts, packet.stream = min(packet.pts, 120), stream
                packet.dts = packet.pts
                after.mux(packet)
    notes: list[str] = []
    assert len(luma(VideoSource(str(tmp_path / "in.mkv"), notes.append))) == 4
    assert notes[0].startswith(f"2 frames of {tmp_path / 'in.mkv'} are left out: their times repeat or go back")


PIPED = """
import sys
from pathlib import Path
import runtimes
from runtimes.__main__ import main
from runtimes.artifact import read_manifest
from tests.runtimes.video.clips import Blender
runtimes.load = lambda path, **_: Blender(read_manifest(Path(path)))
sys.exit(main(sys.argv[1:]))
"""


def test_y4m_pipe(tmp_path: Path) -> None:
    """Standard output carries nothing but the video."""
    artifact = write_artifact(tmp_path / "artifact")
    clip = Clip(times=even(Fraction(30000, 1001), 5), codec="rawvideo", options=(), rate=Fraction(30000, 1001))
    source = write_clip(tmp_path / "in.nut", clip)
    assert "yuv420p" in repr(av.open(str(source)).streams.video[0])
    head = f"YUV4MPEG2 W{SIZE.width} H{SIZE.height} F30000:1001 Ip A1:1 C420jpeg\n".encode()
    body = b"".join(b"FRAME\n" + frame.planes.tobytes() for frame in read_video(source))
    command = [sys.executable, "-c", PIPED, "video", "-", "-", "--artifact", str(artifact)]
    done = subprocess.run(command, input=head + body, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"YUV4MPEG2 W96 H64 F60000:1001 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\nFRAME\n")
    (tmp_path / "out.y4m").write_bytes(done.stdout)
    before, after = read_video(source), read_video(tmp_path / "out.y4m")
    assert len(after) == 10
    assert all(np.array_equal(a.planes, b.planes) for a, b in zip(before, after[::2], strict=True))


@pytest.mark.parametrize("name", ["in.webp", "in.gif"])
def test_animated_webp_by_any_name(artifact: Path, tmp_path: Path, name: str) -> None:
    """FFmpeg does not decode it, and called it damaged."""
    images = [Image.fromarray(draw(i)) for i in range(4)]
    told: dict[str, Any] = {"save_all": True, "append_images": images[1:], "duration": [80, 80, 120, 80]}
    images[0].save(tmp_path / name, format="WEBP", lossless=True, **told)
    assert job(artifact, tmp_path / name, tmp_path / "out" / "%d.png") == 0
    assert all(np.array_equal(read_image(tmp_path / "out" / f"{2 * i + 1}.png"), draw(i)) for i in range(4))
    assert job(artifact, tmp_path / name, tmp_path / "out.mp4", "--resume", "--part-seconds", "0.1") == 0
    times = [frame.time for frame in read_video(tmp_path / "out.mp4")]
    assert times == [Fraction(x, 1000) for x in (0, 40, 80, 120, 160, 220, 280, 320)]


def test_a_webp_of_one_picture(artifact: Path, tmp_path: Path) -> None:
    write_image(draw(0), tmp_path / "one.webp")
    with pytest.raises(VideoError, match="is one picture"):
        job(artifact, tmp_path / "one.webp", tmp_path / "out.mp4")
    data = (tmp_path / "one.webp").read_bytes()
    (tmp_path / "half.webp").write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match="cannot be read as an image"):
        job(artifact, tmp_path / "half.webp", tmp_path / "out.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("parts", [[], ["--resume", "--part-seconds", "0.1"]])
def test_players_find_what_they_look_for(artifact: Path, tmp_path: Path, suffix: str, parts: list[str]) -> None:
    """The index before the frames, and HEVC under the name that Apple's players know."""
    source, target = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 6))), tmp_path / f"out{suffix}"
    assert job(artifact, source, target, "--encoder", "libx265", "--preset", "ultrafast", *parts) == 0
    data = target.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert b"hvc1" in data
    assert b"hev1" not in data
    assert len(read_video(target)) == 12


@pytest.mark.parametrize("encoder", ["libx265", "libsvtav1"])
def test_encoders_do_not_chat(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], encoder: str
) -> None:
    monkeypatch.delenv("SVT_LOG", raising=False)
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 4)))
    arguments = ["--artifact", str(artifact), "--encoder", encoder]
    assert main(["video", str(source), str(tmp_path / "out.mkv"), *arguments]) == 0
    assert len(capfd.readouterr().err.splitlines()) == 2, "the source, and what was done"


def test_every_default_is_an_option_of_its_encoder() -> None:
    checked = 0
    for encoder, options in DEFAULTS.items():
        if encoder in av.codecs_available:
            checked += 1
            context = av.CodecContext.create(encoder, "w")
            groups = (context.supported_options.private, context.supported_options.generic)
            assert set(options) <= {option.name for group in groups for option in group}, encoder
    assert checked >= 5


def test_a_quality_that_is_asked_for_replaces_the_default() -> None:
    assert EncodeOptions().codec_options("libx264") == {"crf": "18"}
    assert EncodeOptions(crf=30).codec_options("libvpx-vp9") == {"crf": "30", "b": "0"}
    assert EncodeOptions(options={"b": "5M"}).codec_options("libx264") == {"b": "5M"}
    assert EncodeOptions(options={"lossless": "1"}).codec_options("libvpx-vp9") == {"lossless": "1"}
    assert EncodeOptions(preset="slow").codec_options("libx265") == {"crf": "20", "preset": "slow"}
