"""Folders of images, GIF, y4m files and pipes."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from runtimes.__main__ import main
from runtimes.contract import Size
from runtimes.errors import UsageError
from runtimes.video.errors import VideoError
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


def test_folder_to_video_at_the_rate_asked_for(artifact: Path, tmp_path: Path) -> None:
    source = image_folder(tmp_path / "in", 3)
    assert job(artifact, source, tmp_path / "out.mp4", "--input-fps", "23.976") == 0
    found = read_video(tmp_path / "out.mp4")
    assert [frame.time for frame in found] == [Fraction(1001 * i, 48000) for i in range(6)]
    assert np.abs(found[0].rgb - draw(0).astype(float)).mean() < 4


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


def test_gif_refuses_what_viewers_slow_down(artifact: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(30, 4), rate=Fraction(30)))
    with pytest.raises(VideoError, match=r"at most 50 frames a second, this would be 60: pass --fps 50"):
        job(artifact, source, tmp_path / "out.gif")
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
