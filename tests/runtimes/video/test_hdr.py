"""Side data, chroma location, tags and dispositions: kept, or named as lost."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from runtimes.__main__ import main
from runtimes.video.color import Color, Converter
from runtimes.video.hdr import Extras, Mastering
from runtimes.video.source import VideoSource
from tests.runtimes.video.clips import Clip, even, write_clip

DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"

PARAMS = (
    f"log-level=none:hdr10=1:repeat-headers=1:master-display={DISPLAY}:max-cll=1000,400:colorprim=bt2020:"
    "transfer=smpte2084:colormatrix=bt2020nc:chromaloc=2"
)


def hdr10(path: Path, frames: int = 6) -> Path:
    """HDR10 as cameras and discs have it."""
    clip = Clip(
        times=even(24, frames),
        rate=Fraction(24),
        codec="libx265",
        pixel_format="yuv420p10le",
        color=Color(matrix=9, full=False, primaries=9, transfer=16),
        options=(("x265-params", PARAMS),),
    )
    return write_clip(path, clip)


def extras(path: Path) -> Extras:
    source = VideoSource(str(path), lambda _: None)
    found = source.info.extras
    source.close()
    return found


@pytest.mark.parametrize(
    ("suffix", "encoder", "parts"),
    [
        *itertools.product([".mkv", ".mp4"], ["libx265", "libx264", "libsvtav1"], [[]]),
        (".mp4", "libx265", ["--resume", "--part-seconds", "0.1"]),
    ],
)
def test_hdr10_is_kept(
    artifact: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    suffix: str,
    encoder: str,
    parts: list[str],
) -> None:
    source, target = hdr10(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    before = extras(source)
    assert before.chroma == "topleft"
    assert before.light == (1000, 400)
    assert before.mastering is not None
    assert before.mastering.as_steps() == DISPLAY
    assert main(["video", str(source), str(target), "--artifact", str(artifact), "--encoder", encoder, *parts]) == 0
    after = extras(target)
    assert (after.chroma, after.light) == (before.chroma, before.light)
    assert after.mastering is not None
    assert np.allclose(after.mastering.points, before.mastering.points, atol=1e-4)
    assert np.allclose(after.mastering.luminance, before.mastering.luminance, rtol=1e-2)
    assert "left out" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoder", "name"), [("ffv1", "out.mkv"), ("prores_ks", "out.mov"), ("", "out.y4m"), ("", "out")]
)
def test_what_cannot_be_kept_is_named(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], encoder: str, name: str
) -> None:
    source = hdr10(tmp_path / "in.mkv")
    options = ["--encoder", encoder] if encoder else []
    assert main(["video", str(source), str(tmp_path / name), "--artifact", str(artifact), *options]) == 0
    said = capsys.readouterr().err
    pictures = ", that it is HDR (PQ), that its colours are BT.2020" * (not encoder)
    assert f"the mastering display, content light levels{pictures}: left out" in said
    if encoder:
        assert extras(tmp_path / name).chroma == "topleft" or name.endswith(".mov")


def test_what_the_user_asks_of_the_encoder_wins() -> None:
    numbers = Mastering(points=((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.329)), luminance=(0.005, 1000))
    found = Extras(chroma="left", mastering=numbers, light=(1000, 400))
    assert found.options("libx265", {"x265-params": "aq-mode=3:max-cll=1,1"})["x265-params"] == (
        f"aq-mode=3:max-cll=1,1:master-display={DISPLAY}"
    )
    assert found.options("libx264", {"chroma_sample_location": "top"})["chroma_sample_location"] == "top"
    assert found.options("ffv1", {}) == {"chroma_sample_location": "left"}
    assert Extras().options("libx265", {"preset": "fast"}) == {"preset": "fast"}


def test_streams_keep_their_tags_and_dispositions(artifact: Path, tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "plain.mkv", Clip(times=even(25, 4), audio="aac"))
    source = tmp_path / "in.mkv"
    forced = av.stream.Disposition.forced | av.stream.Disposition.hearing_impaired
    with av.open(str(plain)) as before, av.open(str(source), "w") as after:
        copies = {stream.index: after.add_stream_from_template(stream, opaque=True) for stream in before.streams}
        copies[0].metadata.update({"title": "Main", "language": "fin", "CAMERA": "B"})
        copies[0].disposition = av.stream.Disposition.original
        copies[1].metadata.update({"title": "Commentary", "language": "swe"})
        copies[1].disposition = forced
        for packet in before.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                after.mux(packet)
    assert main(["video", str(source), str(tmp_path / "out.mkv"), "--artifact", str(artifact)]) == 0
    with av.open(str(tmp_path / "out.mkv")) as container:
        video, audio = container.streams
        assert (video.metadata["title"], video.language, video.metadata["CAMERA"]) == ("Main", "fin", "B")
        assert (audio.metadata["title"], audio.language) == ("Commentary", "swe")
        assert video.disposition & av.stream.Disposition.original
        assert audio.disposition & forced == forced
        assert "x264" in video.metadata.get("ENCODER", "x264")


@pytest.mark.parametrize(("encoder", "suffix"), [("ffv1", ".mkv"), ("prores_ks", ".mov"), ("libvpx-vp9", ".mkv")])
def test_parts_keep_colour_tags(artifact: Path, tmp_path: Path, encoder: str, suffix: str) -> None:
    """NUT, which parts are made in where it takes the encoder, does not store them."""
    source, target = hdr10(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    arguments = ["--artifact", str(artifact), "--encoder", encoder, "--resume", "--part-seconds", "0.1"]
    assert main(["video", str(source), str(target), *arguments]) == 0
    with av.open(str(target)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 12
    assert {Color.of(frame) for frame in frames} == {Color(matrix=9, full=False, primaries=9, transfer=16)}


@pytest.mark.parametrize(
    ("encoder", "name", "parts"),
    [
        ("libx264", "out.mkv", []),
        ("libx265", "out.mp4", []),
        ("ffv1", "out.mkv", []),
        ("ffv1", "out.mkv", ["--resume", "--part-seconds", "0.1"]),
    ],
)
def test_hdr_in_rgb_is_kept(artifact: Path, tmp_path: Path, encoder: str, name: str, parts: list[str]) -> None:
    """In YUV too, which then is that of BT.2020."""
    color = Color(matrix=9, full=False, primaries=9, transfer=16)
    clip = Clip(times=even(24, 6), rate=Fraction(24), codec="ffv1", pixel_format="gbrp10le", color=color, options=())
    source, target = write_clip(tmp_path / "in.mkv", clip), tmp_path / name
    arguments = ["--artifact", str(artifact), "--encoder", encoder, *parts]
    assert main(["video", str(source), str(target), *arguments]) == 0
    found = []
    for path in (source, target):
        with av.open(str(path)) as container:
            found.append(list(container.decode(video=0)))
    before, after = found[0], found[1][::2]
    assert {Color.of(frame) for frame in after} == {color}
    assert {int(frame.colorspace) for frame in after} == {2 if encoder == "ffv1" else 9}
    for a, b in zip(before, after, strict=True):
        if encoder == "ffv1":
            assert b.format.name == "gbrp10le"
            assert np.array_equal(a.to_ndarray(), b.to_ndarray())
        else:
            shown = [Converter(color).to_rgb(frame).astype(float) / 257 for frame in (a, b)]
            assert np.abs(shown[0] - shown[1]).mean() < 4


def test_a_crop_of_the_container_is_named(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """FFmpeg's own program applies it; PyAV does not have it."""
    source = write_clip(tmp_path / "in.mkv", Clip(times=even(25, 3)))
    data, unit = source.read_bytes(), bytes.fromhex("54b28104")  # DisplayUnit, unknown
    assert data.count(unit) == 1
    source.write_bytes(data.replace(unit, bytes.fromhex("54bb8108")))  # PixelCropTop, 8
    assert main(["video", str(source), str(tmp_path / "out.mkv"), "--artifact", str(artifact)]) == 0
    assert "libx264 does not write the crop that hides the picture's edges: left out" in capsys.readouterr().err
