"""Joining parts: packets are copied, and only their times change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from runtimes.errors import UsageError
from runtimes.video.companions import AudioMode, CompanionOptions, Companions
from runtimes.video.encode import container_options
from runtimes.video.errors import VideoError
from runtimes.video.parts import PartTag
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
        opened = [(_open(path, stack), path) for path in parts]
        tagged = sorted(
            ((PartTag.read(container.metadata, path), container, path) for container, path in opened),
            key=lambda item: item[0].chunk.index,
        )
        _check([(tag, path) for tag, _, path in tagged])
        _check_encoding([(container, path) for _, container, path in tagged])
        first = tagged[0][0]
        companions = None
        if source is not None:
            mode = AudioMode.DROP if first.slowdown != 1 and audio is AudioMode.COPY else audio
            options = CompanionOptions(path=source, audio=mode, subtitles=subtitles, slowdown=first.slowdown)
            companions = Companions(options, note)
            stack.callback(companions.close)
        staged = StagedFile(target, force=force)
        stack.callback(staged.discard)
        _write([(tag, container) for tag, container, _ in tagged], staged.staging, companions)
        staged.finish()


def _open(path: Path, stack: ExitStack) -> InputContainer:
    try:
        container = stack.enter_context(av.open(str(path)))
    except av.error.FFmpegError as error:
        raise VideoError(f"{path} cannot be read ({error.strerror}): make that chunk again") from error
    if len(container.streams.video) != 1:
        raise VideoError(f"{path} is not a part made with --chunk: it has {len(container.streams.video)} video streams")
    return container


def _check(tags: Sequence[tuple[PartTag, Path]]) -> None:
    first, path = tags[0]
    for tag, other in tags:
        if tag.job != first.job:
            raise VideoError(f"{other} and {path} are of different jobs (another source, artifact or setting)")
    have = [tag.chunk.index for tag, _ in tags]
    lacking = sorted(set(range(1, first.chunk.count + 1)) - set(have))
    if lacking or len(set(have)) != len(have):
        what = f"lacking are {', '.join(map(str, lacking))}" if lacking else "some are given twice"
        raise VideoError(f"the job has {first.chunk.count} chunks, {len(have)} are given and {what}")


def _check_encoding(parts: Sequence[tuple[InputContainer, Path]]) -> None:
    """One header serves all parts only if they were encoded alike."""
    contexts = [(container.streams.video[0].codec_context, path) for container, path in parts]
    first, path = contexts[0]
    for context, other in contexts[1:]:
        same = all(
            getattr(context, key) == getattr(first, key) for key in ("name", "width", "height", "pix_fmt", "extradata")
        )
        if not same:
            raise VideoError(
                f"{other} is encoded otherwise than {path}: make them with the same version of ifrnet-export and PyAV"
            )


def _write(parts: Sequence[tuple[PartTag, InputContainer]], path: Path, companions: Companions | None) -> None:
    first, template = parts[0]
    try:
        output = av.open(
            str(path), "w", container_options=container_options(path, first.unit, tags=companions is not None)
        )
    except ValueError as error:
        raise UsageError(f"{path.name} has no suffix of a video container: write .mp4 or .mkv") from error
    with output:
        stream = output.add_stream_from_template(template.streams.video[0], opaque=True)
        assert isinstance(stream, VideoStream)
        stream.time_base = first.unit
        if companions is not None:
            companions.attach(output)
        schedule = iter(_decode_times([time for tag, container in parts for time in _shown_times(container, tag)]))
        for tag, container in parts:
            for packet in _retimed(container, tag):
                packet.dts = next(schedule)
                time = packet.dts * tag.unit
                packet.stream = stream
                output.mux(packet)
                if companions is not None:
                    companions.copy_until(time)
        if companions is not None:
            companions.copy_until(None)


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
        packet.duration = round((packet.duration or 0) * unit / tag.unit)
        packet.time_base = tag.unit
        yield packet


def _shown_times(container: InputContainer, tag: PartTag) -> list[int]:
    """When each packet is shown, in output units and the order of the file, which is then at its start again."""
    times = []
    for packet in _retimed(container, tag):
        assert packet.pts is not None
        times.append(packet.pts)
    container.seek(0)
    return times


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
