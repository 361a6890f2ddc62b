"""Audio, subtitles, covers, attachments, chapters and metadata: copied, or converted where the container cannot hold
them, and retimed for slow motion."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from runtimes.video.clock import clock_zero
from runtimes.video.sound import EncodedSound
from runtimes.video.streams import open_video, video_stream
from runtimes.video.tracks import ConvertedText, Copied, Setting, Track, refusal


class AudioMode(StrEnum):
    """What happens to sound."""

    COPY = "copy"
    DROP = "drop"
    STRETCH = "stretch"


_OF_THE_CONTAINER = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id", "ifrnet", "alpha_mode"}
)
"""Metadata that describes the old file and not its content."""

_STATISTICS = ("_STATISTICS", "BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "DURATION")
"""How Matroska's tags about the size of the old streams begin."""

_ITUNES = frozenset(
    {
        *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping"),
        *("lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "episode_sort", "track"),
        *("season_number", "disc", "tmpo", "compilation", "hd_video", "media_type", "gapless_playback", "sort_name"),
        *("sort_artist", "sort_album_artist", "sort_album", "sort_composer", "sort_show"),
    }
)
"""Tags that MP4 has a name for."""

_LOOKED_AT, _TRIED = 500, 8
"""Packets from the beginning of a file, and of one stream, by which it is tried whether a container holds it."""

_COUNTING = ("mp4", "mov", "ipod")
"""Containers that count samples where those have no packets of their own (PCM): a gap would be closed up."""

_WITH_TIMECODE = ("mp4", "mov", "matroska")
"""Containers that keep a timecode."""

_DISCARDED = 48
"""FFmpeg's AVDISCARD_ALL: what it sets for the text of chapters in MP4, once it has read them."""

_MICROSECOND = Fraction(1, 1_000_000)


@dataclass(frozen=True, kw_only=True)
class OtherStreamOptions:
    """What to carry over. Source times become output times by ``slowdown``, as in the timeline, less ``shift``.

    Chapters and lines of text are cut at ``end``, an output time, if given.
    """

    path: Path
    audio: AudioMode
    subtitles: bool
    slowdown: Fraction
    shift: Fraction = Fraction(0)
    end: Fraction | None = None


class OtherStreams:
    """Reads the source a second time and feeds its other streams into the output, in step with the video."""

    def __init__(self, options: OtherStreamOptions, note: Callable[[str], None]) -> None:
        self._options, self._note = options, note
        self._source: InputContainer = open_video(str(options.path))
        self._zero = clock_zero(self._source)
        self._tracks: dict[int, Track] = {}
        self._packets: Iterator[Packet[Stream]] | None = None
        self._waiting: Packet[Stream] | None = None
        self._cover: Packet[Stream] | None = None
        self._refused = 0
        self.refused = False
        """Whether any packet was, the video's perhaps."""

    def attach(self, output: OutputContainer) -> None:
        """Add the streams, metadata and chapters to the output, whose video stream is there already.

        Raises:
            VideoError: the source has no video to be in step with.
        """
        options = self._options
        self._output = output
        self._setting = Setting(
            output=output,
            slowdown=options.slowdown,
            place=self._map,
            moved=bool(options.slowdown != 1 or self._zero or options.shift),
            note=self._note,
        )
        video = video_stream(self._source, str(options.path))
        self._samples = _first_packets(options.path)
        for stream in self._source.streams:
            if stream.index != video.index:
                self._attach(stream)
        tags, own = kept_tags(self._source.metadata), kept_tags(video.metadata)
        mine = output.streams.video[0]
        if options.shift and any([_drop_timecode(tags), _drop_timecode(own)]):
            self._note(f"the timecode of {options.path} is that of its beginning: left out with --start")
        if (before := video.guessed_rate) and (after := mine.codec_context.framerate):
            for each in (tags, own):
                found = {key: text for key, text in each.items() if key.lower() == "timecode"}
                each.update({key: timecode_at(text, before, after) for key, text in found.items()})
        if self._has_cover and output.format.name == "mp4" and (lost := sorted(set(map(str.lower, tags)) - _ITUNES)):
            self._note(f"beside a cover picture MP4 has names for some tags only: {', '.join(lost)} are left out")
        output.metadata.update(tags)
        mine.metadata.update(own)
        mine.disposition = video.disposition
        if chapters := self._source.chapters():
            for chapter in chapters:
                unit = chapter["time_base"] or Fraction(1, av.time_base)
                for edge in ("start", "end"):
                    chapter[edge] = round(self._inside(self._map(chapter[edge] * unit)) / unit)
                chapter["time_base"] = unit
            output.set_chapters([chapter for chapter in chapters if chapter["end"] > chapter["start"]])
        inputs = [self._source.streams[index] for index in self._tracks]
        self._packets = self._source.demux(*inputs) if inputs else iter(())

    @property
    def _has_cover(self) -> bool:
        return any(stream.disposition & Disposition.attached_pic for stream in self._source.streams)

    def needs_itunes_tags(self, path: Path) -> bool:
        """Whether the output is to be tagged as iTunes does: the muxer writes a cover picture among those only."""
        return path.suffix.lower() == ".mp4" and self._has_cover

    def _attach(self, stream: Stream) -> None:
        wanted = {
            "audio": self._options.audio is not AudioMode.DROP,
            "subtitle": self._options.subtitles,
            "attachment": self._output.format.name == "matroska",
        }
        name = f"{stream.type} stream {stream.index} of {self._options.path}"
        if stream.type == "data" and self._comes_otherwise(stream):
            return
        if stream.disposition & Disposition.attached_pic:
            self._attach_cover(stream)
            return
        if not wanted.get(stream.type, False):
            self._note(f"{name} is not carried over")
        elif stream.type == "attachment":
            self._output.add_stream_from_template(stream).metadata.update(stream.metadata)
        else:
            try:
                self._tracks[stream.index] = self._track(stream, name)
            except (av.error.FFmpegError, ValueError, NotImplementedError) as error:
                self._note(f"{name} is not carried over: {getattr(error, 'strerror', None) or error}")

    def _comes_otherwise(self, stream: Stream) -> bool:
        """Whether a stream says what is carried over as a tag (timecode) or as chapters."""
        timecode = "timecode" in stream.metadata and self._output.format.name in _WITH_TIMECODE
        return timecode or getattr(stream, "discard", None) == _DISCARDED

    def _track(self, stream: Stream, name: str) -> Track:
        """How a stream gets into the output.

        Raises:
            ValueError, av.error.FFmpegError: it does not.
        """
        format, codec = self._output.format.name, getattr(stream.codec_context, "name", "unknown")
        track: Copied | EncodedSound | ConvertedText
        if isinstance(stream, AudioStream) and self._options.audio is AudioMode.STRETCH:
            track = EncodedSound(stream, self._setting)
        elif (why := refusal(stream, format, self._samples.get(stream.index, ()))) is None:
            if isinstance(stream, AudioStream) and format in _COUNTING and codec.startswith("pcm_"):
                track = EncodedSound(stream, self._setting, codec)
            else:
                track = Copied(stream, self._setting)
        elif stream.codec_context is None:
            raise ValueError(why)
        else:
            kind = EncodedSound if isinstance(stream, AudioStream) else ConvertedText
            track = kind(stream, self._setting)  # type: ignore[arg-type]
            self._note(f"{name} is converted from {codec} to {track.codec}: {why}")
        track.target.metadata.update(kept_tags(stream.metadata))
        track.target.disposition = stream.disposition
        return track

    def _attach_cover(self, stream: Stream) -> None:
        """A cover picture: an attachment in Matroska, a stream with one picture elsewhere."""
        name = f"the cover picture (stream {stream.index}) of {self._options.path}"
        mime = {"mjpeg": "image/jpeg", "png": "image/png"}.get(getattr(stream.codec_context, "name", ""))
        format = self._output.format.name
        if mime is None or format not in ("mp4", "matroska"):
            self._note(f"{name} is not carried over: {format} cannot hold it")
            return
        picture = self._picture(stream)
        if not picture:
            self._note(f"{name} is not carried over: it is damaged")
            return
        if format == "matroska":
            self._output.add_attachment(f"cover.{mime[6:].replace('jpeg', 'jpg')}", mime, picture)
            return
        target = self._output.add_stream_from_template(stream, opaque=True)
        target.disposition = Disposition.attached_pic
        self._cover = av.Packet(picture)
        self._cover.pts = self._cover.dts = 0
        self._cover.time_base, self._cover.stream = _MICROSECOND, target

    def _picture(self, stream: Stream) -> bytes:
        """The bytes of a cover picture; empty when it is damaged."""
        with open_video(str(self._options.path)) as again:
            try:
                return bytes(next(again.demux(again.streams[stream.index]), b""))
            except OSError:
                raise
            except av.error.FFmpegError:
                return b""

    def copy_until(self, time: Fraction | None) -> None:
        """Write what begins up to ``time`` of the output; None writes all that is left."""
        assert self._packets is not None
        if self._cover is not None:
            with suppress(av.error.ArgumentError, av.error.InvalidDataError):  # then the file has no cover
                self._output.mux_one(self._cover)
            self._cover = None
        while True:
            packet = self._waiting or self._next()
            self._waiting = None
            if packet is None:
                break
            assert packet.pts is not None
            begin = self._map(packet.pts * packet.time_base)
            if time is not None and begin > time:
                self._waiting = packet
                return
            if packet.stream.type == "subtitle":
                begin = self._cut(packet, begin)
            if self._options.shift and begin < 0:
                continue  # before what is cut out
            self._tracks[packet.stream_index].take(packet)
        self.finish()

    def finish(self) -> None:
        """Write what the tracks hold back, and say what was left out."""
        for track in self._tracks.values():
            track.finish()
        if self._refused:
            self._note(f"{self._refused} packets of other streams were refused by {self._output.format.name}")
            self._refused = 0

    def was_refused(self) -> None:
        """Count a packet that the muxer held back and refused later, while it wrote others."""
        self._refused += 1
        self.refused = True

    def _next(self) -> Packet[Stream] | None:
        assert self._packets is not None
        try:
            return next((packet for packet in self._packets if packet.pts is not None), None)
        except OSError:
            raise
        except av.error.FFmpegError as error:
            self._note(f"{self._options.path} is damaged: its other streams end early ({error.strerror})")
            self._packets = iter(())
            return None

    def _cut(self, packet: Packet[Stream], begin: Fraction) -> Fraction:
        """Leave of a line what is shown within the output. Returns when it begins; less than 0 if it ends before."""
        options, unit = self._options, packet.time_base
        until = begin + (packet.duration or 0) * unit * options.slowdown
        if until > begin and until > 0 and (options.shift or options.end is not None):
            begin, until = self._inside(begin), self._inside(until)
            packet.pts = packet.dts = round(((begin + options.shift) / options.slowdown + self._zero) / unit)
            packet.duration = round((until - begin) / options.slowdown / unit)
        return begin

    def _map(self, time: Fraction) -> Fraction:
        return (time - self._zero) * self._options.slowdown - self._options.shift

    def _inside(self, time: Fraction) -> Fraction:
        """The nearest output time that is shown."""
        end = self._options.end
        return max(Fraction(0), time if end is None else min(time, end))

    def close(self) -> None:
        """Release the source."""
        self._source.close()


def _first_packets(path: Path) -> dict[int, list[Packet[Stream]]]:
    """A few packets of each stream of sound, from the beginning of a file."""
    found: dict[int, list[Packet[Stream]]] = {}
    with open_video(str(path)) as container:
        try:
            for packet in islice(container.demux(), _LOOKED_AT):
                mine = found.setdefault(packet.stream_index, [])
                if packet.dts is not None and packet.stream.type == "audio" and len(mine) < _TRIED:
                    mine.append(packet)
        except av.error.FFmpegError:
            pass  # damaged: what is there is tried
    return found


def _drop_timecode(tags: dict[str, str]) -> bool:
    """Whether there was one."""
    found = [key for key in tags if key.lower() == "timecode"]
    for key in found:
        del tags[key]
    return bool(found)


def timecode_at(text: str, before: Fraction, after: Fraction) -> str:
    """A timecode whose last number counts the frames of a rate ``after`` and not ``before``, in frames a second.

    The form with a semicolon skips numbers to keep up with the clock. It is for multiples of 29.97 frames a second, and
    muxers write no timecode at all where it has another rate.
    """
    parts = re.fullmatch(r"(\d+:\d+:\d+)([:;.])(\d+)", text)
    if parts is None:
        return text
    frame = int(parts[3]) * round(after) // max(1, round(before))
    skips = parts[2] != ":" and (after * Fraction(1001, 30000)).denominator == 1
    return f"{parts[1]}{';' if skips else ':'}{frame:02d}"


def kept_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Without those that describe the old file."""
    return {
        key: value
        for key, value in tags.items()
        if key.lower() not in _OF_THE_CONTAINER and not key.upper().startswith(_STATISTICS)
    }
