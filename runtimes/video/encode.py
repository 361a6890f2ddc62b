"""Video files: one encoded stream, and the streams that are carried over."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from runtimes.errors import UsageError
from runtimes.video.color import has_alpha
from runtimes.video.containers import ffmpeg_log, one_line, open_input, open_output, reason
from runtimes.video.encoders import MOV, EncodeOptions, check_container, keeps_aspect
from runtimes.video.errors import VideoError
from runtimes.video.other_streams import OtherStreams
from runtimes.video.pixel_formats import choose_format, default_profile
from runtimes.video.seal import seal
from runtimes.video.sink import OutputFormat, StagedFile

_MICROSECONDS = 1_000_000

_COUNT_FRAMES = ("mpeg1video", "mpeg2video", "mpeg4")
"""Codecs whose clock is the frame rate; MPEG-4 allows a finer one, of at most 65535 ticks a second."""


class VideoSink:
    """An encoded video file. Times are exact in .mp4, .mov and .nut; Matroska rounds them to milliseconds."""

    def __init__(
        self,
        path: Path,
        output_format: OutputFormat,
        options: EncodeOptions,
        *,
        force: bool,
        note: Callable[[str], None],
        other_streams: OtherStreams | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Open the file and write its header. ``tags`` are those of a part, which is sealed.

        Raises:
            UsageError: see :class:`EncodeOptions` and :class:`~runtimes.video.sink.StagedFile`.
            VideoError: the encoder or the container refuses.
        """
        encoder = options.encoder_for(path)
        codec_options = options.codec_options(encoder)
        check_container(path, encoder)
        self.pixel_format = self._choose(output_format, options, encoder, note)
        codec_options = output_format.extras.options(encoder, codec_options)
        if lost := output_format.extras.losses(encoder):
            note(f"{encoder} does not write {', '.join(lost)}: left out")
        if encoder == "libx265" and "log-level" not in codec_options.get("x265-params", ""):
            told = codec_options.get("x265-params")  # or it prints 25 lines a file
            codec_options["x265-params"] = "log-level=error" + (f":{told}" if told else "")
        if encoder == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors; or it prints as many
        if profile := default_profile(encoder, self.pixel_format):
            codec_options.setdefault("profile", profile)
        if encoder == "libvpx" and has_alpha(VideoFormat(self.pixel_format)):
            codec_options.setdefault("auto-alt-ref", "0")  # libvpx refuses both
        self._file = StagedFile(path, force=force)
        self._unit, self._tick = output_format.unit, output_format.unit
        self._companions, self._note = other_streams, note
        self._tags, self._count = dict(tags or {}), 0
        self._shift = output_format.shift
        self._begin = self._end = output_format.origin
        self._delay: int | None = None
        try:
            free_tags = bool(tags) or (other_streams is not None and not other_streams.needs_itunes_tags(path))
            muxing = container_options(path, output_format.unit, tags=free_tags, fast_start=not tags)
            self._container: OutputContainer = open_output(self._file.staging, muxing)
            self._stream = self._add_stream(encoder, codec_options, output_format)
            self._container.metadata.update(self._tags)
            if other_streams:
                other_streams.attach(self._container)
            self._start(encoder)
        except BaseException:
            self.discard()
            raise

    @staticmethod
    def _choose(output_format: OutputFormat, options: EncodeOptions, encoder: str, note: Callable[[str], None]) -> str:
        if options.pixel_format:
            offered = [fmt.name for fmt in av.Codec(encoder, "w").video_formats or []]
            if offered and options.pixel_format not in offered:
                raise UsageError(f"{encoder} has no pixel format {options.pixel_format!r}; it has {', '.join(offered)}")
            return options.pixel_format
        name, why = choose_format(
            output_format.native_format, encoder, options.options.get("profile"), alpha=output_format.alpha
        )
        if why:
            note(why)
        return name

    def _add_stream(self, encoder: str, options: dict[str, str], output_format: OutputFormat) -> VideoStream:
        stream = self._container.add_stream(encoder, rate=output_format.declared, options=options)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = (
            output_format.size.width,
            output_format.size.height,
            self.pixel_format,
        )
        if context.codec.canonical_name == "hevc" and self._file.final.suffix.lower() in MOV:
            context.codec_tag = "hvc1"  # what Apple's players look for; FFmpeg's own is hev1
        if output_format.rate and context.codec.canonical_name in _COUNT_FRAMES:
            self._tick = 1 / output_format.rate
        stream.time_base, context.time_base = self._unit, self._tick
        context.thread_type = "FRAME"  # PyAV's own choice, slices, costs quality
        context.flags |= int(Flags.frame_duration)  # the last frame's duration is the one that ends the video
        color = output_format.color
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        if not output_format.native_format.is_rgb or not self.pixel_format.startswith(("rgb", "bgr", "gbr")):
            context.colorspace = color.matrix
            context.color_range = ColorRange.JPEG if color.full else ColorRange.MPEG
        if output_format.aspect:
            context.sample_aspect_ratio = output_format.aspect
            if not self._tags:  # of parts, the file that they are joined to says it
                note_aspect(self._file.final.suffix, context.codec.canonical_name, output_format.aspect, self._note)
        return stream

    def _start(self, encoder: str) -> None:
        """Open the encoder, then write the header: what fails tells which of the two it was."""
        try:
            with ffmpeg_log() as said:
                self._container.start_encoding()
        except av.error.FFmpegError as error:
            if isinstance(error, OSError) and not said:  # the disk; a device that is not there logs why
                raise
            hint = "" if said else " (check --crf, --preset, --pix-fmt and --encoder-option)"
            raise VideoError(
                f"{encoder} in {self._file.final.suffix} does not start: {reason(error, said)}{hint}"
            ) from error

    def write(self, picture: VideoFrame, time: Fraction, duration: Fraction) -> None:
        """See :class:`~runtimes.video.sink.Sink`. The frame's pixels are encoded as they are."""
        if self._count == 0:
            self._begin = time
        since = self._shift if self._tick == self._unit else self._begin
        picture.time_base = self._tick
        picture.pts = round((time - since) / self._tick)
        picture.duration = round((time - since + duration) / self._tick) - picture.pts
        picture.pict_type = 0  # the source's I, P and B say nothing about the output
        self._encode(picture)
        if self._companions:
            self._companions.copy_until(time - self._shift)
        self._end = time + duration
        self._count += 1

    def _encode(self, picture: VideoFrame | None) -> None:
        with one_line(f"{self._stream.codec_context.name} cannot encode a frame"):
            packets = [self._in_units(packet) for packet in self._stream.encode(picture)]
        if packets and self._delay is None:
            self._delay = delay_of(packets[0])
        if packets and picture is None and self._file.final.suffix.lower() in MOV:
            reach(packets[-1], round((self._end - self._shift) / packets[-1].time_base), self._delay or 0)
        for packet in packets:
            try:
                self._container.mux_one(packet)
            except OSError:
                raise
            except av.error.FFmpegError as error:
                # The muxer sorts packets of all streams, and says only now that one it held back does not fit.
                if self._companions is None:
                    raise VideoError(f"{self._file.final.suffix} cannot be written: {error.strerror}") from error
                self._companions.was_refused()

    def _in_units(self, packet: Packet[VideoStream]) -> Packet[VideoStream]:
        """Times of an encoder that counts frames, as those of the file."""
        if self._tick != self._unit and packet.pts is not None and packet.dts is not None:
            begin, length = self._begin - self._shift, (packet.duration or 0) * self._tick
            packet.pts, packet.dts = (
                round((begin + stamp * self._tick) / self._unit) for stamp in (packet.pts, packet.dts)
            )
            packet.time_base, packet.duration = self._unit, round(length / self._unit)
        return packet

    def finish(self, *, whole: bool = True) -> None:
        """See :class:`~runtimes.video.sink.Sink`. Of an interrupted job, other streams end where the video does."""
        try:
            self._encode(None)
            if self._companions:
                self._companions.copy_until(None if whole else self._end - self._shift)
                self._companions.finish()
                self._companions.close()
            self._close()
            if self._tags:  # a part
                seal(self._file.staging, self._count, round((self._end - self._shift) / self._unit))
            self._file.finish()
        except BaseException:
            self.discard()
            raise

    def _close(self) -> None:
        """Write the end of the file. What the muxer then refuses of other streams does not cost the video."""
        try:
            self._container.close()
        except OSError:
            raise
        except av.error.FFmpegError as error:
            if self._companions is None or count_packets(self._file.staging) != self._count:
                raise VideoError(f"{self._file.final.suffix} cannot be finished: {error.strerror}") from error
            self._note(f"{self._file.final.suffix} refused the end of another stream ({error.strerror}): left out")
        check_whole(self._file.staging, self._count, self._companions)

    def discard(self) -> None:
        """See :class:`~runtimes.video.sink.Sink`."""
        if self._companions:
            self._companions.close()
        container = getattr(self, "_container", None)
        try:
            if container is not None:
                container.close()
        except (av.error.FFmpegError, OSError, ValueError):
            pass  # the trailer of a file that is removed in the next line
        self._file.discard()


def count_packets(path: Path) -> int:
    """Packets of video that a finished file has; 0 when it cannot be read."""
    try:
        with open_input(path) as container:
            return sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))
    except (VideoError, av.error.FFmpegError):
        return 0


def check_whole(path: Path, frames: int, other_streams: OtherStreams | None) -> None:
    """Find out whether a finished file has all frames: a muxer that refuses a packet does not tell of which stream.

    Raises:
        VideoError: some are missing.
    """
    if other_streams is not None and other_streams.refused and (kept := count_packets(path)) != frames:
        raise VideoError(f"{path.suffix} holds {kept} of the {frames} frames: write .mp4 or .mkv")


def note_aspect(suffix: str, codec: str, aspect: Fraction, note: Callable[[str], None]) -> None:
    """Say that the shape of a pixel is lost, where it is."""
    if aspect != 1 and not keeps_aspect(suffix.lower(), codec):
        note(
            f"{suffix} does not say the shape of the pixels of {codec} ({aspect.numerator}:{aspect.denominator}): "
            "left out; .mp4 and .mov keep it, and h264 and hevc in any file"
        )


def delay_of(first: Packet[VideoStream]) -> int:
    """How long before it shows the first packet of a video is decoded."""
    return 0 if first.pts is None or first.dts is None else first.pts - first.dts


def reach(last: Packet[VideoStream], end: int, delay: int) -> None:
    """Let the last packet of an MP4 reach the end of the video, in its units.

    A track there is as long as its decode times. Those of B-frames run ahead of what is shown by some frames, and where
    the last frames show longer than the first, seconds would be missing.
    """
    if last.pts is None or last.dts is None:
        return
    missing = end - delay - last.dts - (last.duration or 0)
    if missing > 0:
        later = min(missing, last.pts - last.dts)
        last.dts, last.duration = last.dts + later, (last.duration or 0) + missing - later


def container_options(path: Path, unit: Fraction, *, tags: bool, fast_start: bool) -> dict[str, str]:
    """Options of the muxer for video times in multiples of ``unit``.

    ``tags`` keeps metadata of any name, ``fast_start`` moves the index to the front, for players that stream.
    """
    if path.suffix.lower() not in MOV:
        return {}
    # When each stream starts is stored in this unit, a millisecond unless told otherwise.
    scale = unit.denominator * -(-_MICROSECONDS // unit.denominator)
    options = {"movie_timescale": str(scale)} if scale < 2**31 else {}
    flags = "+use_metadata_tags" * tags + "+faststart" * fast_start
    return options | ({"movflags": flags} if flags else {})
