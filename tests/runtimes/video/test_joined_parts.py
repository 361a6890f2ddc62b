"""What a joined file says beside its pixels: as much as that of a single run, or in words that it does not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from runtimes.__main__ import main
from runtimes.video.encode import check_whole
from runtimes.video.errors import VideoError
from runtimes.video.other_streams import AudioMode, OtherStreamOptions, OtherStreams
from tests.runtimes.video.clips import Clip, even, seconds_of, write_clip
from tests.runtimes.video.test_alpha import alphas, folder_of

RESUME = ["--resume", "--part-seconds", "0.1"]

FAST = {
    "libsvtav1": ["--encoder-option", "preset=12"],
    "libvpx-vp9": ["--encoder-option", "cpu-used=8", "--encoder-option", "deadline=realtime"],
    "libx264": ["--preset", "ultrafast"],
}


def job(artifact: Path, source: Path, target: Path, encoder: str, *options: str) -> int:
    fast = [*FAST.get(encoder, []), *options]
    return main(["video", str(source), str(target), "--artifact", str(artifact), "--encoder", encoder, *fast])


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A clip whose pixels are 64:45."""
    plain, target = write_clip(tmp_path / "plain.mp4", Clip(times=even(25, 6))), tmp_path / "wide.mp4"
    with av.open(str(plain)) as before, av.open(str(target), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0], opaque=True)
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)
        for packet in before.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                after.mux_one(packet)
    return target


@pytest.mark.parametrize("encoder", ["libsvtav1", "libvpx-vp9"])
@pytest.mark.parametrize("parts", [[], RESUME])
def test_mov_refuses_what_it_cannot_hold_before_any_work(
    artifact: Path, tmp_path: Path, encoder: str, parts: list[str]
) -> None:
    source, target = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 4))), tmp_path / "out.mov"
    target.write_bytes(b"what was there")
    with pytest.raises(VideoError, match=rf"\.mov does not take {encoder}: write \.mp4"):
        job(artifact, source, target, encoder, "--force", *parts)
    assert target.read_bytes() == b"what was there"


@pytest.mark.parametrize("with_source", [False, True])
def test_joining_to_what_cannot_hold_the_parts(artifact: Path, tmp_path: Path, with_source: bool) -> None:
    """Its header is refused, which once counted as packets of other streams."""
    source, part = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 4), audio="aac")), tmp_path / "part.nut"
    assert job(artifact, source, part, "libvpx-vp9", "--chunk", "1/1") == 0
    rest = ["--source", str(source)] if with_source else []
    with pytest.raises(VideoError, match="vp9 only supported in MP4"):
        main(["concat", str(part), "-o", str(tmp_path / "out.mov"), *rest])
    assert not list(tmp_path.glob("*out*"))


def test_frames_that_the_muxer_refused_are_missed(tmp_path: Path) -> None:
    """Nobody says of which stream a refused packet was."""
    path = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 4), audio="aac"))
    other_streams = OtherStreams(
        OtherStreamOptions(path=path, audio=AudioMode.COPY, subtitles=True, slowdown=Fraction(1)), print
    )
    check_whole(path, 5, other_streams)  # nothing was refused, so nobody counts
    other_streams.was_refused()
    check_whole(path, 4, other_streams)
    with pytest.raises(VideoError, match=r"\.mp4 holds 4 of the 5 frames"):
        check_whole(path, 5, other_streams)
    other_streams.close()


def test_parts_keep_the_transparency_of_vp9(artifact: Path, tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", 6)
    assert job(artifact, source, tmp_path / "whole.webm", "libvpx-vp9") == 0
    assert job(artifact, source, tmp_path / "joined.webm", "libvpx-vp9", *RESUME) == 0
    whole, joined = alphas(tmp_path / "whole.webm"), alphas(tmp_path / "joined.webm")
    assert len(whole) == len(joined) == 12
    for a, b in zip(whole, joined, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 1.5


@pytest.mark.parametrize("name", ["out.mp4", "part.nut"])
def test_transparency_of_vp9_elsewhere_is_named_as_lost(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert job(artifact, folder_of(tmp_path / "in", 2), tmp_path / name, "libvpx-vp9") == 0
    assert "has transparency, which is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoder", "suffix"),
    [
        *(("libx264", suffix) for suffix in (".mp4", ".mov", ".mkv")),
        *(("libvpx-vp9", suffix) for suffix in (".mp4", ".mkv", ".webm")),
        *(("prores_ks", suffix) for suffix in (".mov", ".mkv")),
    ],
)
@pytest.mark.parametrize("parts", [[], RESUME])
def test_the_shape_of_pixels_is_kept_or_named_as_lost(
    artifact: Path,
    wide: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    encoder: str,
    suffix: str,
    parts: list[str],
) -> None:
    target = tmp_path / f"out{suffix}"
    assert job(artifact, wide, target, encoder, *parts) == 0
    said = capsys.readouterr().err
    with av.open(str(target)) as container:
        found = container.streams.video[0].sample_aspect_ratio
    lost = f"{suffix} does not say the shape of the pixels of"
    assert (found == Fraction(64, 45), said.count(lost)) in ((True, 0), (False, 1)), said


@pytest.mark.parametrize("parts", [[], RESUME])
@pytest.mark.parametrize(("profile", "tag"), [(None, "ap4h"), ("4444xq", "ap4x")])
def test_prores_says_which_one_it_is(
    artifact: Path, tmp_path: Path, parts: list[str], profile: str | None, tag: str
) -> None:
    """Players and editors go by it."""
    asked = [] if profile is None else ["--encoder-option", f"profile={profile}"]
    target = tmp_path / "out.mov"
    assert job(artifact, folder_of(tmp_path / "in", 6), target, "prores_ks", *asked, *parts) == 0
    with av.open(str(target)) as container:
        assert container.streams.video[0].codec_context.codec_tag == tag


@pytest.mark.parametrize("encoder", ["mpeg1video", "mpeg2video", "mpeg4"])
@pytest.mark.parametrize("start", [Fraction(0), Fraction(7, 90_000)])
def test_encoders_that_count_frames(artifact: Path, tmp_path: Path, encoder: str, start: Fraction) -> None:
    """Their clock is the frame rate, or no finer than 65535 ticks a second; times stay those of the source."""
    source = write_clip(tmp_path / "in.mov", Clip(times=even(25, 10, start)))
    assert job(artifact, source, tmp_path / "out.mkv", encoder) == 0
    assert job(artifact, source, tmp_path / "same.mkv", "libx264") == 0
    found, expected = times(tmp_path / "out.mkv"), times(tmp_path / "same.mkv")
    assert len(found) == 20
    assert found == expected


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [seconds_of(frame) for frame in container.decode(video=0)]
