"""Joining parts: packets are copied, and only their times change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.format import VideoFormat
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from runtimes.errors import UsageError
from runtimes.video.containers import ffmpeg_log, one_line, open_input, open_output, reason
from runtimes.video.encode import check_whole, container_options, note_aspect, reach
from runtimes.video.encoders import MOV
from runtimes.video.errors import VideoError
from runtimes.video.other_streams import AudioMode, OtherStreamOptions, OtherStreams
from runtimes.video.parts import PartTag
from runtimes.video.seal import sealed, sealed_frames
from runtimes.video.sink import StagedFile


def concat(
    parts: Sequence[Path],
    target: Path,
    *,
    source: Path | None,
    audio: AudioMode,
    subtitles: bool,
    force: bool,
    note: Callable[[str], None],
) -> None:
    """Join all parts of a job, in any order, and carry over the other streams of ``source``.

    Raises:
        VideoError: not parts, not all of them, or not of one job.
        UsageError: the output exists.
    """
    with ExitStack() as stack:
        read = sorted(map(_read, parts), key=lambda part: part.tag.chunk.index)
        _check(read)
        filled = [part for part in read if part.shown]
        _check_encoding(filled)
        first = filled[0].tag
        other_streams = None
        if source is not None:
            mode = AudioMode.DROP if first.slowdown != 1 and audio is AudioMode.COPY else audio
            options = OtherStreamOptions(path=source, audio=mode, subtitles=subtitles, slowdown=first.slowdown)
            other_streams = OtherStreams(options, note)
            stack.callback(other_streams.close)
        staged = StagedFile(target, force=force)
        stack.callback(staged.discard)
        with one_line(f"{target} cannot be written"):
            _write(filled, target, staged.staging, other_streams, note)
        staged.finish()


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What is known of a part once it is closed again: there may be more parts than files that can be open.

    ``shown`` is when each packet is shown, in output units and the order of the file; empty for a part without frames.
    ``end`` is when the last of them ends.
    """

    path: Path
    tag: PartTag
    encoding: tuple[Any, ...] = ()
    shown: Sequence[int] = ()
    end: int = 0


def _read(path: Path) -> _Part:
    if not path.is_file():
        raise VideoError(f"{path} does not exist: make that chunk first")
    empty = PartTag.read_empty(path)
    if empty is not None:
        sealed_frames(path)
        return _Part(path=path, tag=empty)
    with _open(path) as container:
        tag = PartTag.read(container.metadata, path)
        if len(container.streams.video) != 1:
            count = len(container.streams.video)
            raise VideoError(f"{path} is not a part made with --chunk: it has {count} video streams")
        context = container.streams.video[0].codec_context
        encoding = tuple(getattr(context, key) for key in ("name", "width", "height", "pix_fmt", "extradata"))
        frames, length = sealed(path)
        shown = [packet.pts for packet in _retimed(container, tag) if packet.pts is not None]
    if len(shown) != frames or not shown:
        raise VideoError(f"{path} has {len(shown)} of its {frames} frames: make that chunk again")
    return _Part(path=path, tag=tag, encoding=encoding, shown=shown, end=round(tag.start / tag.unit) + length)


def _open(path: Path) -> InputContainer:
    try:
        return open_input(path)
    except VideoError as error:
        raise VideoError(f"{path} is no part that can be read: make that chunk again") from error


def _check(parts: Sequence[_Part]) -> None:
    first = parts[0].tag
    for part in parts:
        if (part.tag.job, part.tag.chunk.count) != (first.job, first.chunk.count):
            raise VideoError(
                f"{part.path} and {parts[0].path} are of different jobs (another source, artifact, setting or number "
                "of chunks)"
            )
    have = [part.tag.chunk.index for part in parts]
    lacking = sorted(set(range(1, first.chunk.count + 1)) - set(have))
    if lacking or len(set(have)) != len(have):
        what = f"missing chunks: {', '.join(map(str, lacking))}" if lacking else "some are given twice"
        raise VideoError(f"the job has {first.chunk.count} chunks, {len(have)} are given; {what}")
    if not any(part.shown for part in parts):
        raise VideoError("none of the chunks has a frame: is the source a whole video?")


def _check_encoding(parts: Sequence[_Part]) -> None:
    """One header serves all parts only if they were encoded alike."""
    for part in parts:
        if part.encoding != parts[0].encoding:
            raise VideoError(
                f"{part.path} is encoded otherwise than {parts[0].path}: make them with the same version of "
                "ifrnet-export and PyAV"
            )


def _write(
    parts: Sequence[_Part],
    target: Path,
    path: Path,
    other_streams: OtherStreams | None,
    note: Callable[[str], None],
) -> None:
    """``path`` is written, ``target`` is named to the user."""
    first = parts[0].tag
    try:
        free_tags = other_streams is not None and not other_streams.needs_itunes_tags(path)
        output = open_output(path, container_options(path, first.unit, tags=free_tags, fast_start=True))
    except ValueError as error:
        raise UsageError(f"{target} has no suffix of a video container: write .mp4 or .mkv") from error
    with output:
        with _open(parts[0].path) as template:
            packets = template.streams.video[0]
            try:
                stream = output.add_stream_from_template(packets, opaque=True)
            except ValueError as error:
                codec = packets.codec_context.name
                raise UsageError(f"{target.suffix} files do not hold {codec}: write .mp4 or .mkv") from error
            # What the frames of VP8 and VP9 have beside them is alpha only where this says so.
            stream.metadata.update({key: "1" for key in packets.metadata if key.lower() == "alpha_mode"})
            fourcc = packets.codec_context.codec_tag
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        if context.name == "hevc" and path.suffix.lower() in MOV:
            context.codec_tag = "hvc1"
        if context.name == "prores":  # which of the profiles it is
            context.codec_tag = fourcc
        _tag_color(stream, first)
        if first.aspect:
            context.sample_aspect_ratio = first.aspect
            note_aspect(target.suffix, context.codec.canonical_name, first.aspect, note)
        stream.time_base, context.framerate = first.unit, first.rate
        if other_streams is not None:
            other_streams.attach(output)
        _start(output, target)
        shown = [time for part in parts for time in part.shown]
        schedule = _decode_times(shown)
        delay, decoded = shown[0] - schedule[0], iter(schedule)
        following = dict(pairwise([*sorted(shown), parts[-1].end]))
        for part in parts:
            with _open(part.path) as container:
                for packet in _retimed(container, part.tag):
                    assert packet.pts is not None
                    packet.dts, packet.duration = next(decoded), following[packet.pts] - packet.pts
                    if packet.dts == schedule[-1] and path.suffix.lower() in MOV:
                        reach(packet, parts[-1].end, delay)
                    time = packet.dts * part.tag.unit
                    packet.stream = stream
                    _mux(output, packet, other_streams)
                    if other_streams is not None:
                        other_streams.copy_until(time)
        if other_streams is not None:
            other_streams.copy_until(None)
    check_whole(path, len(shown), other_streams)


def _start(output: OutputContainer, target: Path) -> None:
    """Write the header."""
    try:
        with ffmpeg_log() as said:
            output.start_encoding()
    except OSError:
        raise
    except av.error.FFmpegError as error:
        own = [line for line in said if line.startswith(f"{output.format.name}:")]  # and not what readers say late
        raise VideoError(f"{target} cannot be written: {reason(error, own)}") from error


def _mux(output: OutputContainer, packet: Packet[VideoStream], other_streams: OtherStreams | None) -> None:
    """Write a packet. What the muxer refuses of other streams, which it held back, does not cost the video."""
    try:
        output.mux_one(packet)
    except OSError:
        raise
    except av.error.FFmpegError:
        if other_streams is None:
            raise
        other_streams.was_refused()


def _tag_color(stream: VideoStream, tag: PartTag) -> None:
    """Give the output the colour tags that the container of the parts did not keep."""
    context = stream.codec_context
    if not tag.color:
        return
    matrix, context.color_primaries, context.color_trc, full = tag.color
    if context.pix_fmt is not None and not VideoFormat(context.pix_fmt).is_rgb:
        context.colorspace, context.color_range = matrix, ColorRange.JPEG if full else ColorRange.MPEG


def _packets(container: InputContainer) -> Iterator[Packet[VideoStream]]:
    return (packet for packet in container.demux(container.streams.video[0]) if packet.pts is not None)


def _retimed(container: InputContainer, tag: PartTag) -> Iterator[Packet[VideoStream]]:
    """Packets whose times are whole units of the output; the first frame is at the part's start."""
    base: Fraction | None = None
    for packet in _packets(container):
        unit = packet.time_base
        assert packet.pts is not None
        base = packet.pts * unit if base is None else base  # a part begins with a key frame, shown first
        packet.pts = round((packet.pts * unit - base + tag.start) / tag.unit)
        packet.time_base = tag.unit
        yield packet


def _decode_times(shown: Sequence[int]) -> list[int]:
    """When to decode packets that are shown at these times: in order, and none after it is shown.

    Made anew, since parts that reorder frames do not agree on them, and NUT does not store them.
    """
    ordered = sorted(shown)
    delay = 0
    for index, time in enumerate(shown):
        while ordered[index - delay] > time:
            delay += 1
    step = max(1, ordered[1] - ordered[0]) if len(ordered) > 1 else 1
    return [ordered[0] - i * step for i in range(delay, 0, -1)] + ordered[: len(ordered) - delay]
