"""Files that would have other files opened, and what FFmpeg raises in the middle of a job."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from runtimes.__main__ import main
from runtimes.cli import run
from runtimes.video.containers import FORMATS
from runtimes.video.source import VideoSource
from tests.runtimes.video.clips import Clip, draw, even, read_video, write_clip
from tests.runtimes.video.test_bad_input import refuse

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nsecret.{}\n#EXT-X-ENDLIST\n"
TEXTS = {
    "hls": PLAYLIST.format("ts"),
    "concat": "ffconcat version 1.0\nfile secret.mp4\nduration 1\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><AdaptationSet><Representation id="1" bandwidth="9">'
    "<BaseURL>secret.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "text": "\x1b[31mhello\x1b[0m\n" * 200,
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" width="96" height="64"><image href="secret.png"/></svg>',
    "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"/>',
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".txt"])
def test_texts_that_name_other_files_are_refused(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, suffix: str
) -> None:
    write_clip(tmp_path / "secret.mp4", Clip(times=even(25, 5)))
    write_clip(tmp_path / "secret.ts", Clip(times=even(25, 5)))
    source = tmp_path / f"in{suffix}"
    source.write_text(TEXTS[kind])
    os.utime(tmp_path / "secret.ts", ns=(0, 0))
    line = refuse(capsys, [source, tmp_path / "out.mp4", "--artifact", artifact])
    assert f"in{suffix} is of the format" in line or "cannot be read as a video" in line
    assert not (tmp_path / "out.mp4").exists()


def test_formats_that_name_other_files_are_on_no_list() -> None:
    """A demuxer that opens files (or devices, or takes anything for a picture) must not slip in."""
    opening = {
        "hls",
        "concat",
        "dash",
        "imf",
        "sdp",
        "rtsp",
        "rtp",
        "sap",
        "image2",
        "lavfi",
        "tty",
        "vobsub",
        "tedcaptions",
    }
    assert not opening & set(FORMATS)
    assert not [name for name in FORMATS if name.endswith("_pipe")]
    known = {part for name in av.formats_available for part in name.split(",")}
    assert set(FORMATS) <= known, "a name that FFmpeg does not have"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts", ".flv", ".mpg", ".mxf", ".nut", ".wmv"])
def test_formats_that_hold_frames_are_opened(tmp_path: Path, suffix: str) -> None:
    codec = {".mpg": "mpeg2video", ".mxf": "mpeg2video", ".wmv": "wmv2"}.get(suffix, "libx264")
    options = (("qp", "0"), ("preset", "ultrafast")) if codec == "libx264" else ()
    path = write_clip(tmp_path / f"in{suffix}", Clip(times=even(25, 4), codec=codec, options=options))
    source = VideoSource(str(path), lambda _: None)
    assert len(list(source.frames())) == 4
    source.close()


@pytest.mark.parametrize(
    "name", ["S01:E02.mp4", "file:x.mp4", "http:x.mp4", "concat:a|b.mp4", "a%03d.mp4", "pipe:0.mp4"]
)
def test_a_colon_is_part_of_a_name(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Relative names, in and out, with a sound track that is read a second time, in one run and in parts."""
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "plain.mp4", Clip(times=even(25, 10), audio="aac")).rename(tmp_path / name)
    for extra in ([], ["--resume", "--part-seconds", "0.2"]):
        target = f"{len(extra)}:{name}"
        assert main(["video", name, target, "--artifact", str(artifact), "--preset", "ultrafast", *extra]) == 0
        assert len(read_video(tmp_path / target)) == 20
    assert len(list(tmp_path.iterdir())) == 4


def test_gif_and_folder_with_a_colon(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(10, 4), rate=Fraction(10)))
    for target in ("a:b.gif", "a:b.y4m", "a:b"):
        assert main(["video", str(source), target, "--artifact", str(artifact)]) == 0
        assert (tmp_path / target).exists()


def test_times_that_go_back(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``cat a.ts a.ts``: the job ends, and says what it left out."""
    plain = write_clip(tmp_path / "a.ts", Clip(times=even(25, 12), audio="aac"))
    (tmp_path / "two.ts").write_bytes(plain.read_bytes() * 2)
    for suffix in (".mp4", ".mkv"):
        target = tmp_path / f"out{suffix}"
        assert main(["video", str(tmp_path / "two.ts"), str(target), "--artifact", str(artifact)]) == 0
        said = capsys.readouterr().err
        assert "frames of" in said
        assert "packets of audio stream 1 are left out: their times repeat or go back" in said
        assert len(read_video(target)) == 24


@pytest.mark.parametrize(("offset", "pause"), [(60, True), (5000, False)])
def test_times_that_jump_ahead(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], offset: int, pause: bool
) -> None:
    """``cat a.ts b.ts``: FFmpeg closes the gap, which needs all streams at once; here it is told."""
    clip = Clip(times=even(25, 12), audio="aac")
    first = write_clip(tmp_path / "a.ts", clip)
    second = write_clip(
        tmp_path / "b.ts", replace(clip, times=even(25, 12, start=Fraction(offset)), audio_start=Fraction(offset))
    )
    source, target = tmp_path / "two.ts", tmp_path / "out.mp4"
    source.write_bytes(first.read_bytes() + second.read_bytes())
    assert run("", main, ["video", str(source), str(target), "--artifact", str(artifact)]) == (0 if pause else 1)
    said = capsys.readouterr().err
    assert f"{source} jumps from 0.4" in said
    assert ("which is taken for a pause" in said) == target.exists() == pause
    assert "ffmpeg -i ... -c copy joined.mkv closes the gap" in said


def unknown(path: Path, four: bytes) -> None:
    """Rename a codec to one that nobody knows."""
    data = path.read_bytes()
    assert data.count(four) >= 1
    path.write_bytes(data.replace(four, b"A_ZZZZZ"[: len(four)]))


def test_an_unknown_codec_of_sound_costs_the_sound_only(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_clip(tmp_path / "in.mkv", Clip(times=even(25, 6), audio="aac"))
    unknown(source, b"A_AAC")
    assert main(["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact)]) == 0
    assert "audio stream 1" in (said := capsys.readouterr().err)
    assert "is not carried over: this FFmpeg does not know its codec" in said
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert len(read_video(tmp_path / "out.mp4")) == 12


def test_an_unknown_codec_of_video_is_one_line(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 6), audio="aac"))
    unknown(source, b"avc1")
    line = refuse(capsys, [source, tmp_path / "out.mp4", "--artifact", artifact])
    assert "has video of a kind that this FFmpeg cannot decode" in line


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_damaged_files_end_in_an_output_or_one_line(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str, seed: int
) -> None:
    source = write_clip(tmp_path / f"in{suffix}", Clip(times=even(25, 12), audio="aac"))
    data = bytearray(source.read_bytes())
    random = np.random.default_rng(seed)
    for position in random.integers(0, len(data), 40):
        data[position] = random.integers(0, 256)
    source.write_bytes(data)
    from runtimes.cli import run

    arguments = ["video", str(source), str(tmp_path / "out.mp4"), "--artifact", str(artifact), "--preset", "ultrafast"]
    code = run("python -m runtimes", main, arguments)
    said = capsys.readouterr().err
    assert code in (0, 1), said
    assert "Traceback" not in said
    assert (tmp_path / "out.mp4").exists() == (code == 0)


def test_a_missing_device_is_named(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 4)))
    if "h264_nvenc" not in av.codecs_available or Path("/dev/nvidia0").exists():
        pytest.skip("needs an FFmpeg with NVENC and a machine without a GPU")
    line = refuse(capsys, [source, tmp_path / "out.mp4", "--artifact", artifact, "--encoder", "h264_nvenc"])
    assert "h264_nvenc in .mp4 does not start" in line
    assert "cuda" in line.lower() or "nvenc" in line.lower().partition("start:")[2]
    assert "--crf" not in line


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "mov"])
def test_pictures_that_declare_too_much_are_refused_before_decoding(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    import tracemalloc

    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("1", (13000, 13000)).save(tmp_path / "bomb.png")
    bomb = (tmp_path / "bomb.png").read_bytes()
    source = folder
    if kind == "mov":
        source = tmp_path / "in.mov"
        with av.open(str(source), "w") as container:
            stream = container.add_stream("png", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb24"
            stream.encode(av.VideoFrame.from_ndarray(draw(0)))
            for index in range(2):
                packet = av.Packet(bomb)
                packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 25)
                container.mux(packet)
    elif kind == "png":
        (folder / "1.png").write_bytes(bomb)
    elif kind == "jpg":
        Image.new("L", (13000, 13000)).save(folder / "1.jpg", quality=1)
    else:
        Image.new("L", (9000, 9000)).save(folder / "1.webp", method=0, quality=0)
    tracemalloc.start()
    line = refuse(capsys, [source, tmp_path / "out.mp4", "--artifact", artifact])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "million pixels; expected at most 67 million" in line or "has no frame that can be decoded" in line
    assert peak < 50e6


def test_names_and_tags_never_reach_the_terminal_raw(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "in\x1b]0;owned\x07\u202e.mp4"
    write_clip(tmp_path / "x.mp4", Clip(times=even(25, 4))).rename(tmp_path / name)
    assert main(["video", str(tmp_path / name), str(tmp_path / "o\x1b[31m.mp4"), "--artifact", str(artifact)]) == 0
    said = capsys.readouterr().err
    for source, target in (
        ("no\x1b[2Jne.mp4", "out.mp4"),
        (name, "o\x1b[31m.mp4"),
        (name, "no\x1b/out.mp4"),
        (name, "out.\x1bmp3"),
    ):
        line = refuse(capsys, [tmp_path / source, tmp_path / target, "--artifact", artifact])
        assert "\\x1b" in line
        said += line
    line = refuse(capsys, [tmp_path / name, tmp_path / "out.mp4", "--artifact", f"{artifact}\x1b"])
    assert not {"\x1b", "\x07", "\u202e"} & set(said + line)
