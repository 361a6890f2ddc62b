"""Sound, subtitles, chapters and metadata."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.subtitles.subtitle import AssSubtitle
from PIL import Image

from runtimes.__main__ import main
from runtimes.video import other_streams, tracks
from runtimes.video.errors import VideoError
from tests.runtimes.video.clips import SIZE, Clip, draw, even, read_video, seconds_of, write_clip, write_sound


def sound(path: Path) -> tuple[Fraction, Fraction, np.ndarray]:
    """Start and end in seconds, and the samples, as a player gets them."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    first, last = frames[0], frames[-1]
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return seconds_of(first), seconds_of(last) + Fraction(last.samples, last.sample_rate), samples


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def job(artifact: Path, source: Path, target: Path, *options: str) -> int:
    return main(["video", str(source), str(target), "--artifact", str(artifact), "--preset", "ultrafast", *options])


@pytest.mark.parametrize(
    ("before", "after"), [(".mp4", ".mp4"), (".mp4", ".mkv"), (".mkv", ".mp4"), (".mkv", ".mkv"), (".mp4", ".mov")]
)
@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 4)])
def test_sound_is_copied_to_the_sample(
    artifact: Path, tmp_path: Path, before: str, after: str, start: Fraction
) -> None:
    clip = Clip(times=even(25, 30), audio="aac", audio_start=start)
    source, target = write_clip(tmp_path / f"in{before}", clip), tmp_path / f"out{after}"
    assert job(artifact, source, target) == 0
    (start0, end0, samples0), (start1, end1, samples1) = sound(source), sound(target)
    warm_up = (
        0 if packets(source) == packets(target) else 1
    )  # a packet that is not to be played, where that cannot be said
    assert packets(source)[warm_up:] == packets(target)
    assert abs(start1 - start0) <= Fraction(1, 1000)
    stated = Fraction(30, 25)  # of MP4, FFmpeg 9 plays no more than that of the last packet; others all of it
    assert min(abs(end1 - end0), abs(end1 - stated)) <= Fraction(1, 1000)
    rest, common = 1024 * warm_up, min(len(samples0), len(samples1))
    assert common > 44000  # AAC noise depends on the past
    assert np.allclose(samples0[rest:common], samples1[rest:common], atol=1e-2 if warm_up else 0)


def test_video_that_starts_late_stays_in_step(artifact: Path, tmp_path: Path) -> None:
    clip = Clip(times=even(25, 10, start=Fraction(1, 3)), audio="aac", audio_start=Fraction(0))
    source, target = write_clip(tmp_path / "in.mp4", clip), tmp_path / "out.mp4"
    assert job(artifact, source, target) == 0
    assert read_video(target)[0].time == read_video(source)[0].time == Fraction(1, 3)
    assert abs(sound(target)[0] - sound(source)[0]) <= Fraction(1, 1000)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("slowmo", [[], ["--slowmo", "2", "--audio", "stretch"]])
def test_a_clock_of_its_own_is_left_behind(artifact: Path, tmp_path: Path, suffix: str, slowmo: list[str]) -> None:
    """A recording that starts at 20 hours; video and sound keep their distance, in one run and in chunks."""
    clip = Clip(times=even(25, 30, start=Fraction(1, 5)), audio="aac", audio_start=Fraction(1, 10))
    plain, source, target = write_clip(tmp_path / "in.mp4", clip), tmp_path / "in.ts", tmp_path / f"out{suffix}"
    with av.open(str(plain)) as before, av.open(str(source), "w", container_options={"muxdelay": "0"}) as after:
        copies = {stream.index: after.add_stream_from_template(stream) for stream in before.streams}
        for packet in before.demux():
            if packet.dts is not None and packet.pts is not None:
                offset = int(72000 / packet.time_base)
                packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                packet.stream = copies[packet.stream.index]
                after.mux(packet)
    assert read_video(source)[0].time > 72000
    distance = read_video(source)[0].time - sound(source)[0]
    factor = 2 if slowmo else 1
    assert job(artifact, source, target, *slowmo) == 0
    parts = [tmp_path / "1.nut", tmp_path / "2.nut"]
    for i, part in enumerate(parts, 1):
        assert job(artifact, source, part, "--chunk", f"{i}/2", *slowmo[:2]) == 0
    joined = tmp_path / f"joined{suffix}"
    assert main(["concat", *map(str, parts), "-o", str(joined), "--source", str(source), *slowmo[2:]]) == 0
    for path in (target, joined):
        frames = read_video(path)
        assert len(frames) == 60
        assert abs(frames[0].time - distance * factor) <= Fraction(1, 1000)
        assert abs(frames[0].time - sound(path)[0] - distance * factor) <= Fraction(1, 1000)


@pytest.mark.parametrize("slowdown", [2, 5])
def test_stretched_sound_is_slower_at_the_same_pitch(artifact: Path, tmp_path: Path, slowdown: int) -> None:
    source, target = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 30), audio="aac")), tmp_path / "out.mp4"
    assert job(artifact, source, target, "--slowmo", str(slowdown), "--audio", "stretch") == 0
    start, end, samples = sound(target)
    assert float(end - start) == pytest.approx(1.2 * slowdown, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    peak = np.argmax(spectrum) * 48000 / len(samples)
    assert peak == pytest.approx(440, abs=6)


def test_a_damaged_packet_of_stretched_sound_costs_itself_only(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 30), audio="aac")), tmp_path / "out.mp4"
    with av.open(str(source)) as container:
        damaged = list(container.demux(audio=0))[20]
    assert damaged.pos is not None
    data = bytearray(source.read_bytes())
    data[damaged.pos : damaged.pos + damaged.size] = b"\xff" * damaged.size
    source.write_bytes(data)
    assert job(artifact, source, target, "--slowmo", "2", "--audio", "stretch") == 0
    assert "audio stream 1 is damaged: 1 packets could not be decoded" in capsys.readouterr().err
    start, end, _ = sound(target)
    assert float(end - start) == pytest.approx(2.4, abs=0.15)


def with_gap(path: Path, codec: str, left_out: range) -> Path:
    """A clip of 2 s whose sound lacks some packets, as where a transmission was disturbed."""
    clip = Clip(times=even(25, 50), audio=codec)
    plain = write_clip(path.with_name("plain.mkv"), clip)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        count = 0
        for packet in source.demux():
            if packet.dts is None:
                continue
            count += packet.stream.type == "audio"
            if packet.stream.type == "video" or count not in left_out:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    return path


@pytest.mark.parametrize(
    ("codec", "after", "options"),
    [
        ("aac", ".webm", ()),
        ("aac", ".mp4", ("--slowmo", "2", "--audio", "stretch")),
        ("pcm_f32le", ".mov", ()),
        ("pcm_f32le", ".webm", ()),
        ("aac", ".mkv", ()),
    ],
)
def test_sound_after_a_gap_keeps_its_time(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], codec: str, after: str, options: Sequence[str]
) -> None:
    """Packets 24 to 47 of 1024 samples are missing: silence from 0.49 to 1.00 s, and the tone ends with the video."""
    source, target = with_gap(tmp_path / "in.mkv", codec, range(24, 48)), tmp_path / f"out{after}"
    assert main(["video", str(source), str(target), "--artifact", str(artifact), *options]) == 0
    factor = 2 if options else 1
    with av.open(str(target)) as container:
        loud = [
            float(frame.pts * frame.time_base)
            for frame in container.decode(audio=0)
            if np.abs(frame.to_ndarray()).mean() > 0.1 and frame.pts is not None and frame.time_base is not None
        ]
    silent = max(following - one for one, following in pairwise(loud))
    assert silent == pytest.approx(0.51 * factor, abs=0.06 * factor)
    assert max(loud) == pytest.approx(1.98 * factor, abs=0.06 * factor)
    assert ("has gaps: 0.51 s are filled" in capsys.readouterr().err) == (after != ".mkv")


def rich_clip(path: Path) -> Path:
    """A clip with subtitles, two chapters, a language and a custom tag, besides picture and sound."""
    plain = write_clip(path.with_name("plain.mp4"), Clip(times=even(25, 20), audio="aac"))
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        copies[1].metadata["language"] = "fin"
        subtitles = target.add_mux_stream("subrip" if path.suffix == ".mkv" else "mov_text")
        subtitles.time_base = Fraction(1, 1000)
        target.metadata.update({"title": "rich", "comment": "kept"})
        target.set_chapters(
            [
                {
                    "id": i,
                    "start": 400 * i,
                    "end": 400 * (i + 1),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": f"part {i}"},
                }
                for i in range(2)
            ]
        )
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
        for begin in (100, 500):
            packet = av.Packet(b"hello" if path.suffix == ".mkv" else b"\x00\x05hello")
            packet.pts = packet.dts = begin
            packet.duration, packet.time_base, packet.stream = 200, Fraction(1, 1000), subtitles
            target.mux(packet)
    return path


def spoken(path: Path) -> list[tuple[Fraction, Fraction, bytes]]:
    """Begin, length and text of the subtitles."""
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(subtitles=0) if packet.size]
        return [(seconds_of(p), (p.duration or 0) * p.time_base, bytes(p)) for p in found]


@pytest.mark.parametrize("slowdown", [1, 2])
def test_everything_else_is_kept(artifact: Path, tmp_path: Path, slowdown: int) -> None:
    source, target = rich_clip(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    assert job(artifact, source, target, "--slowmo", str(slowdown)) == 0
    with av.open(str(target)) as container:
        kinds = ["video", "audio", "subtitle"] if slowdown == 1 else ["video", "subtitle"]
        assert [stream.type for stream in container.streams] == kinds
        assert container.metadata["title"] == "rich"
        assert {key.lower(): value for key, value in container.metadata.items()}["comment"] == "kept"
        chapters = [(c["start"] * (c["time_base"] or 0), c["metadata"]["title"]) for c in container.chapters()]
        assert chapters == [(0, "part 0"), (Fraction(2, 5) * slowdown, "part 1")]
        if slowdown == 1:
            assert container.streams.audio[0].language == "fin"
    assert spoken(target) == [(begin * slowdown, length * slowdown, text) for begin, length, text in spoken(source)]
    assert spoken(source)[0][1:] == (Fraction(1, 5), b"hello")


def test_chapters_of_mp4_are_no_stream_that_is_lost(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They have one there."""
    source, target = rich_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    with av.open(str(source)) as before:
        assert [stream.type for stream in before.streams] == ["video", "audio", "subtitle", "data"]
    assert job(artifact, source, target) == 0
    assert "not carried over" not in capsys.readouterr().err
    with av.open(str(target)) as after:
        assert [chapter["metadata"]["title"] for chapter in after.chapters()] == ["part 0", "part 1"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_text_and_chapters_are_cut_with_the_video(artifact: Path, tmp_path: Path, suffix: str) -> None:
    """Of lines at 0.1 to 0.3 and 0.5 to 0.7 s, and of chapters up to 0.4 and 0.8 s, from 0.2 up to 0.6 s."""
    source, target = rich_clip(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    assert job(artifact, source, target, "--start", "0.2", "--end", "0.6") == 0
    lines = [(begin, length) for begin, length, text in spoken_only(target) if b"hello" in text]
    assert lines == [(Fraction(0), Fraction(1, 10)), (Fraction(3, 10), Fraction(1, 10))]
    with av.open(str(target)) as container:
        unit = [c["time_base"] or Fraction(0) for c in container.chapters()]
        found = [(c["start"] * u, c["end"] * u) for c, u in zip(container.chapters(), unit, strict=True)]
    middle = float(found[0][1])  # the clip's clock begins with the warm-up of its sound
    assert found == [(0, found[0][1]), (found[0][1], Fraction(2, 5))]
    assert middle == pytest.approx(0.2, abs=0.03)


def test_mp4_keeps_tags_it_has_no_name_for(artifact: Path, tmp_path: Path) -> None:
    source, target = write_clip(tmp_path / "in.mkv", Clip(times=even(25, 4))), tmp_path / "out.mp4"
    with av.open(str(source)) as before, av.open(str(tmp_path / "tagged.mkv"), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        after.metadata["CAMERA_SHAKE"] = "3"
        for packet in before.demux():
            if packet.dts is not None:
                packet.stream = stream
                after.mux(packet)
    assert job(artifact, tmp_path / "tagged.mkv", target) == 0
    with av.open(str(target)) as container:
        assert container.metadata["CAMERA_SHAKE"] == "3"


def words(line: object) -> bytes:
    assert isinstance(line, AssSubtitle)
    return line.dialogue


def spoken_only(path: Path) -> list[tuple[Fraction, Fraction, bytes]]:
    """Without the empty packets by which MP4 says that nothing is spoken."""
    return [item for item in spoken(path) if len(item[2]) > 2]


@pytest.mark.parametrize(
    ("before", "after", "codec"),
    [(".mkv", ".mp4", "mov_text"), (".mp4", ".mkv", "ass"), (".mkv", ".webm", "webvtt"), (".mp4", ".mov", "mov_text")],
)
@pytest.mark.parametrize("slowdown", [1, 2])
def test_text_subtitles_are_converted_where_the_container_has_others(
    artifact: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    before: str,
    after: str,
    codec: str,
    slowdown: int,
) -> None:
    source, target = rich_clip(tmp_path / f"in{before}"), tmp_path / f"out{after}"
    extra = [] if after == ".webm" else ["--preset", "ultrafast"]
    options = ["--artifact", str(artifact), "--slowmo", str(slowdown), *extra]
    assert main(["video", str(source), str(target), *options]) == 0
    with av.open(str(target)) as container:
        (stream,) = container.streams.subtitles
        assert stream.codec_context.name.replace("ssa", "ass") == codec
        lines = [
            (seconds_of(packet), (packet.duration or 0) * packet.time_base, words(line))
            for packet in container.demux(stream)
            if packet.size > 2
            for line in stream.decode2(packet) or ()
        ]
    assert lines == [(begin * slowdown, length * slowdown, b"hello") for begin, length, _ in spoken_only(source)]
    assert len(lines) == 2
    said = capsys.readouterr().err
    assert (f"to {codec}" in said) == (after != ".mov")


def test_sound_is_converted_where_the_container_has_others(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 30), audio="aac")), tmp_path / "out.webm"
    assert main(["video", str(source), str(target), "--artifact", str(artifact)]) == 0
    assert "audio stream 1 of" in (said := capsys.readouterr().err)
    assert "is converted from aac to libopus" in said
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.name == "opus"
    start, end, samples = sound(target)
    assert abs(float(start)) < 0.02
    assert float(end - start) == pytest.approx(1.2, abs=0.05)
    middle = samples[len(samples) // 4 : len(samples) * 3 // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 48000 / len(middle) == pytest.approx(440, abs=6)
    assert 0.4 < np.abs(middle).max() < 0.6


@pytest.mark.parametrize("options", [[], ["--slowmo", "2", "--audio", "stretch"]])
def test_the_end_of_sound_that_its_decoder_held_back(artifact: Path, tmp_path: Path, options: list[str]) -> None:
    """Of WMA, the last frame comes when the decoder is told that there is no more, without a time."""
    source, target = many_tracks(tmp_path / "in.wmv", ["wmav2"]), tmp_path / "out.mp4"
    assert job(artifact, source, target, *options) == 0
    start, end, _ = sound(target)
    assert float(end - start) == pytest.approx(2 if options else 1, abs=0.06)


CODECS = ["aac", "libopus", "flac", "ac3", "mp2", "pcm_s16le", "pcm_s24le", "wavpack", "alac"]


def many_tracks(path: Path, codecs: Sequence[str] = tuple(CODECS)) -> Path:
    """A clip with a sine in every codec; Matroska does not keep the layout of all of them."""
    plain = write_clip(path.with_name("plain.mkv"), Clip(times=even(25, 25)))
    wave = (0.3 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)).astype(np.float32)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0], opaque=True)
        tracks: list[Any] = [target.add_stream(codec, rate=48000, layout="stereo") for codec in codecs]
        for track in tracks:
            track.codec_context.format = track.codec_context.codec.audio_formats[0]
            track.codec_context.bit_rate = 128_000
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        for track in tracks:
            resampler = av.AudioResampler(track.codec_context.format, "stereo", 48000)
            for begin in range(0, 48000, 1024):
                frame = av.AudioFrame.from_ndarray(np.stack([wave[begin : begin + 1024]] * 2), "fltp", "stereo")
                frame.sample_rate, frame.pts, frame.time_base = 48000, begin, Fraction(1, 48000)
                for ready in resampler.resample(frame):
                    target.mux(track.encode(ready))
            target.mux(track.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".mkv", ".nut", ".m4v"])
def test_every_track_arrives_as_it_was_or_converted(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    source, target = many_tracks(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    preset = [] if suffix == ".webm" else ["--preset", "ultrafast"]
    assert main(["video", str(source), str(target), "--artifact", str(artifact), *preset]) == 0
    said = capsys.readouterr().err
    assert "left out" not in said
    assert "not carried over" not in said
    assert said.count("is converted from") == (0 if suffix == ".mkv" else said.count("audio stream"))
    with av.open(str(target)) as container:
        assert len(container.streams.audio) == len(CODECS)
        for stream in container.streams.audio:
            container.seek(0)
            frames = list(container.decode(stream))
            length = sum(frame.samples for frame in frames) / frames[0].sample_rate
            assert stream.codec_context.channels == 2
            assert length == pytest.approx(1, abs=0.06), stream
    assert len(read_video(target)) == 50


def test_a_file_that_cannot_be_finished_is_one_line(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PCM without a layout breaks MP4 at its very end. The attempt in memory finds that; here it is not made."""
    monkeypatch.setattr(tracks, "LAYOUTS", {})
    monkeypatch.setattr(other_streams, "refusal", lambda *_: None)
    monkeypatch.setattr(other_streams, "_COUNTING", ())
    source = many_tracks(tmp_path / "in.mkv", ["pcm_s16le"])
    with pytest.raises(VideoError, match=r"\.mp4 cannot be finished"):
        job(artifact, source, tmp_path / "out.mp4")
    assert not list(tmp_path.glob("*out*"))


def test_a_damaged_packet_of_sound_costs_itself_only(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A header that the muxer has to read: it refuses the packet in the middle of the job."""
    source, target = write_clip(tmp_path / "in.ts", Clip(times=even(25, 50), audio="aac")), tmp_path / "out.mp4"
    data = bytearray(source.read_bytes())
    headers = [match.start() for match in re.finditer(b"\xff\xf1", bytes(data))]
    data[headers[40]] = 0
    source.write_bytes(data)
    assert job(artifact, source, target) == 0
    said = capsys.readouterr().err
    assert "converted" not in said
    assert "packets of audio stream 1 are left out" in said or len(packets(target)) >= len(packets(source)) - 3
    assert len(packets(target)) > 80
    assert len(read_video(target)) == 100


def test_packets_shorter_than_a_millisecond_are_kept(artifact: Path, tmp_path: Path) -> None:
    """Those of TrueHD are: in Matroska, which counts milliseconds, every sixth begins when the one before it does."""
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    plain = write_clip(tmp_path / "plain.mkv", Clip(times=even(25, 25)))
    noise = np.random.default_rng(0).integers(-9999, 9999, (1, 48000)).astype(np.int16)
    with av.open(str(plain)) as before, av.open(str(source), "w") as after:
        video = after.add_stream_from_template(before.streams.video[0], opaque=True)
        track = after.add_stream("pcm_s16le", rate=48000, layout="mono")
        for packet in before.demux():
            if packet.size:
                packet.stream = video
                after.mux(packet)
        for begin in range(0, 48000, 40):
            frame = av.AudioFrame.from_ndarray(noise[:, begin : begin + 40], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, begin, Fraction(1, 48000)
            after.mux(track.encode(frame))
    assert job(artifact, source, target) == 0
    assert len(packets(source)) == 1200
    assert packets(target) == packets(source)


def with_cover(path: Path) -> tuple[Path, bytes]:
    """A clip with a JPEG as its cover picture, and that picture."""
    plain = write_clip(path.with_name("plain.mp4"), Clip(times=even(25, 8), audio="aac"))
    buffer = io.BytesIO()
    Image.fromarray(draw(3)).save(buffer, format="JPEG")
    picture = buffer.getvalue()
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        copies = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        if path.suffix == ".mkv":
            target.add_attachment("cover.jpg", "image/jpeg", picture)
        else:
            cover = target.add_mux_stream("mjpeg", width=SIZE.width, height=SIZE.height)
            cover.disposition = av.stream.Disposition.attached_pic
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
        if path.suffix != ".mkv":
            packet = av.Packet(picture)
            packet.pts = packet.dts = 0
            packet.time_base, packet.stream = Fraction(1, 90000), cover
            target.mux(packet)
    return path, picture


@pytest.mark.parametrize("before", [".mp4", ".mkv"])
@pytest.mark.parametrize("after", [".mp4", ".mkv"])
def test_cover_pictures_are_kept(artifact: Path, tmp_path: Path, before: str, after: str) -> None:
    source, picture = with_cover(tmp_path / f"in{before}")
    target = tmp_path / f"out{after}"
    assert job(artifact, source, target) == 0
    with av.open(str(target)) as container:
        (cover,) = [s for s in container.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        assert bytes(next(container.demux(cover))) == picture
    assert len(read_video(target)) == 16
    assert len(packets(target)) >= len(packets(source)) - 1, "a decoder's warm-up may go"


def test_a_cover_that_cannot_be_held_is_named(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, _ = with_cover(tmp_path / "in.mp4")
    assert main(["video", str(source), str(tmp_path / "out.webm"), "--artifact", str(artifact)]) == 0
    assert "the cover picture (stream 2)" in capsys.readouterr().err


def test_a_source_of_sound_only_is_refused(artifact: Path, tmp_path: Path) -> None:
    source, part = write_clip(tmp_path / "in.mp4", Clip(times=even(25, 6), audio="aac")), tmp_path / "part.nut"
    assert job(artifact, source, part, "--chunk", "1/1") == 0
    write_sound(source, tmp_path / "sound.mka")
    (tmp_path / "notes.txt").write_text("x")
    for other, reason in (
        ("sound.mka", "has no video stream; it has audio"),
        ("notes.txt", "cannot be read as a video|not opened"),
    ):
        with pytest.raises(VideoError, match=reason):
            main(["concat", str(part), "-o", str(tmp_path / "out.mp4"), "--source", str(tmp_path / other)])
    assert not (tmp_path / "out.mp4").exists()
