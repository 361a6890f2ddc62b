"""Transparency: interpolated and kept where the output has it, named where not."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from runtimes.__main__ import main
from runtimes.contract import Size
from runtimes.frames import Array
from runtimes.video.interpolators import with_alpha
from runtimes.video.source import VideoSource
from runtimes.video.stills import read_image, write_image
from tests.runtimes.video.clips import SIZE, Blender, draw


def clear(index: int, *, hard: bool = False) -> Array:
    """A picture whose transparency is a ramp that travels, or a border; under it the colours are anything."""
    x = np.arange(SIZE.width)
    ramp = np.clip((x - 20 - 6 * index) * 4, 0, 255).astype(np.uint8)
    if hard:
        ramp = np.where(x < 30 + 6 * index, 0, 255).astype(np.uint8)
    return np.dstack([draw(index), np.broadcast_to(ramp, (SIZE.height, SIZE.width))])


def folder_of(path: Path, count: int, suffix: str = ".png", dtype: type = np.uint8) -> Path:
    path.mkdir()
    for i in range(count):
        picture: Array = clear(i).astype(dtype) * (257 if dtype is np.uint16 else 1)
        write_image(picture, path / f"{i}{suffix}")
    return path


def job(artifact: Path, source: Path, target: Path, *options: str) -> int:
    return main(["video", str(source), str(target), "--artifact", str(artifact), *options])


@pytest.mark.parametrize(("before", "after"), [(".png", "%d.png"), (".webp", "%d.png"), (".png", "%d.webp")])
def test_folders_keep_and_interpolate_alpha(
    artifact: Path, tmp_path: Path, blenders: list[Blender], capsys: pytest.CaptureFixture[str], before: str, after: str
) -> None:
    source = folder_of(tmp_path / "in", 3, before)
    assert job(artifact, source, tmp_path / "out" / after) == 0
    assert "has transparency, which is kept: the network runs twice" in capsys.readouterr().err
    found = [read_image(tmp_path / "out" / (after % i), alpha=True) for i in range(1, 7)]
    for i in range(3):
        assert np.array_equal(found[2 * i], clear(i)), "originals pass through, hidden colours included"
    a, b = clear(0).astype(float), clear(1).astype(float)
    middle = found[1].astype(float)
    assert np.abs(middle[..., 3] - (a[..., 3] + b[..., 3]) / 2).max() <= 1
    shown = (a[..., :3] * a[..., 3:] + b[..., :3] * b[..., 3:]) / np.maximum(a[..., 3:] + b[..., 3:], 1)
    visible = middle[..., 3] > 8
    assert np.abs(middle[..., :3] - shown)[visible].max() <= 2, "what shines through weighs less"
    assert len(blenders[-1].calls) == 4


def test_16_bits_keep_alpha(artifact: Path, tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", 2, dtype=np.uint16)
    assert job(artifact, source, tmp_path / "out") == 0
    found = [read_image(tmp_path / "out" / f"{i:06d}.png", alpha=True) for i in (1, 2, 3)]
    assert found[0].dtype == np.uint16
    assert np.array_equal(found[0], clear(0).astype(np.uint16) * 257)
    middle = (found[0][..., 3].astype(float) + found[2][..., 3]) / 2
    assert np.abs(found[1][..., 3] - middle).max() <= 1


VIDEOS = [
    (".webm", "libvpx-vp9", ["--encoder-option", "lossless=1"]),
    (".webm", "libvpx", ["--crf", "4"]),
    (".mov", "prores_ks", []),
    (".mkv", "ffv1", []),
    (".mov", "png", []),
    (".mov", "qtrle", []),
    (".nut", "utvideo", []),
]


def alphas(path: Path) -> list[Array]:
    """Of every frame, in steps of 8 bits; those of VP8 and VP9 by libvpx."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
        decoder: Any = None if name is None else av.CodecContext.create(name, "r")
        found = []
        for packet in container.demux(stream):
            for frame in packet.decode() if decoder is None else decoder.decode(packet if packet.size else None):
                assert isinstance(frame, av.VideoFrame)
                found.append(frame.to_ndarray(format="rgba")[..., 3])
    return found


@pytest.mark.parametrize(("suffix", "encoder", "options"), VIDEOS)
def test_videos_keep_alpha_in_and_out(
    artifact: Path, tmp_path: Path, suffix: str, encoder: str, options: list[str]
) -> None:
    """From a folder into a video, and from that into the same again."""
    source = folder_of(tmp_path / "in", 3)
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    assert job(artifact, source, first, "--encoder", encoder, *options) == 0
    assert job(artifact, first, second, "--encoder", encoder, *options) == 0
    one, two = alphas(first), alphas(second)
    assert (len(one), len(two)) == (6, 12)
    for i in range(3):
        assert np.abs(one[2 * i].astype(int) - clear(i)[..., 3]).mean() < 1.5
    assert np.abs(one[1] - (one[0].astype(float) + one[2]) / 2).mean() < 1.5
    for a, b in zip(one, two[::2], strict=True):
        assert np.abs(a.astype(int) - b).mean() < 1.5
    assert np.abs(two[1] - (two[0].astype(float) + two[2]) / 2).mean() < 1.5


def test_alpha_of_vp9_in_matroska_is_found_and_turned(artifact: Path, tmp_path: Path) -> None:
    """FFmpeg writes the tag in capitals there; libvpx, which gives alpha, is not told what the container says."""
    assert job(artifact, folder_of(tmp_path / "in", 3), tmp_path / "plain.webm") == 0
    with av.open(str(tmp_path / "plain.webm")) as before, av.open(str(tmp_path / "in.mkv"), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0], opaque=True)
        stream.metadata["ALPHA_MODE"] = "1"
        stream.set_display_rotation(90)
        stream.codec_context.color_primaries, stream.codec_context.color_trc = 9, 16
        for packet in before.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                after.mux_one(packet)
    source = VideoSource(str(tmp_path / "in.mkv"), lambda _: None)
    frame = next(source.frames())
    assert source.info.alpha
    assert (source.info.size, source.info.color.primaries, source.info.color.transfer) == (Size(64, 96), 9, 16)
    assert frame.native is not None
    found = frame.native.to_ndarray(format="rgba")[..., 3].astype(int)
    assert np.abs(found - np.rot90(clear(0)[..., 3])).mean() < 1.5
    source.close()


def test_gif_keeps_what_is_transparent(artifact: Path, tmp_path: Path) -> None:
    images = [Image.fromarray(clear(i, hard=True), "RGBA") for i in range(3)]
    images[0].save(tmp_path / "in.gif", save_all=True, append_images=images[1:], duration=80, loop=0, disposal=2)
    assert job(artifact, tmp_path / "in.gif", tmp_path / "out.gif") == 0
    with Image.open(tmp_path / "out.gif") as gif:
        found = [np.asarray(frame.convert("RGBA"))[..., 3] for frame in ImageSequence.Iterator(gif)]
    assert len(found) == 6
    for i in range(3):
        assert np.mean((found[2 * i] > 127) != (clear(i, hard=True)[..., 3] > 127)) < 0.01


@pytest.mark.parametrize("name", ["out.mp4", "out.y4m", "out/%d.jpg"])
def test_what_has_no_transparency_says_so(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert job(artifact, folder_of(tmp_path / "in", 3), tmp_path / name) == 0
    assert "has transparency, which is left out: .webm" in capsys.readouterr().err


def test_an_opaque_gif_is_no_transparent_one(
    artifact: Path, tmp_path: Path, blenders: list[Blender], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every GIF is decoded with an alpha channel; most use it for what stays the same between frames."""
    images = [Image.fromarray(draw(i)) for i in range(3)]
    images[0].save(tmp_path / "in.gif", save_all=True, append_images=images[1:], duration=80)
    assert job(artifact, tmp_path / "in.gif", tmp_path / "out.mp4") == 0
    assert "transparen" not in capsys.readouterr().err
    assert len(blenders[-1].calls) == 2


def test_opaque_frames_cost_one_run() -> None:
    calls: list[tuple[int, ...]] = []

    def inner(a: Array, b: Array, steps: Sequence[Fraction]) -> list[Array]:
        calls.append(a.shape)
        return [a for _ in steps]

    opaque = np.dstack([draw(0), np.full((SIZE.height, SIZE.width), 255, np.uint8)])
    (found,) = with_alpha(inner)(opaque, opaque, [Fraction(1, 2)])
    assert np.array_equal(found, opaque)
    (found,) = with_alpha(inner)(clear(0), clear(0), [Fraction(1, 2)])
    visible = clear(0)[..., 3] > 0
    assert np.array_equal(found[..., 3], clear(0)[..., 3])
    assert np.abs(found.astype(int) - clear(0))[visible].max() <= 1
    assert calls == [(SIZE.height, SIZE.width, 3)] * 3
