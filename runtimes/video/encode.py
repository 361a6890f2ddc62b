"""Video files: one encoded stream, and the streams that are carried over."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from runtimes.errors import UsageError
from runtimes.video.containers import ffmpeg_log, one_line, open_output, reason
from runtimes.video.errors import VideoError
from runtimes.video.other_streams import OtherStreams
from runtimes.video.pixel_formats import choose_format, default_profile
from runtimes.video.seal import seal
from runtimes.video.sink import OutputFormat, StagedFile

ENCODERS = MappingProxyType(
    {
        ".mp4": "libx264",
        ".m4v": "libx264",
        ".mov": "libx264",
        ".mkv": "libx264",
        ".webm": "libvpx-vp9",
        ".nut": "libx264",
    }
)
"""File suffix -> encoder unless another is asked for."""

_NVENC = {"rc": "vbr", "cq": "19", "b": "0"}
_QSV = {"global_quality": "20"}
_AMF = {"rc": "cqp", "qp_i": "19", "qp_p": "21"}

DEFAULTS = MappingProxyType(
    {
        "libx264": {"crf": "18"},
        "libx264rgb": {"crf": "18"},
        "libx265": {"crf": "20"},
        "libvpx": {"crf": "8", "b": "20000000"},
        "libvpx-vp9": {"crf": "24", "b": "0"},
        "libsvtav1": {"crf": "24"},
        "libaom-av1": {"crf": "22", "b": "0"},
        "mpeg4": {"b": "20000000"},
        "mpeg2video": {"b": "30000000"},
        **dict.fromkeys(("h264_nvenc", "hevc_nvenc", "av1_nvenc"), _NVENC),
        **dict.fromkeys(("h264_qsv", "hevc_qsv", "av1_qsv", "vp9_qsv"), _QSV),
        **dict.fromkeys(("h264_amf", "hevc_amf"), _AMF),
    }
)
"""Quality unless another is asked for: hard to tell from the source. FFmpeg's own is for 200 kbit/s or 2 Mbit/s."""

_RATE_CONTROL = frozenset({"qp", "lossless", "crf", "b", "cq", "rc", "global_quality", "qp_i", "qp_p", "qscale"})
"""Options that say how good, each of which replaces all of the defaults."""

MOV = (".mp4", ".m4v", ".mov")
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """How to encode. None is the default of the suffix (``encoder``), of :data:`DEFAULTS` or of the encoder."""

    encoder: str | None = None
    crf: float | None = None
    preset: str | None = None
    pixel_format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def encoder_for(self, path: Path) -> str:
        """Name of the encoder.

        Raises:
            UsageError: a suffix that is no video's, or an encoder that is not there (lists those that are).
        """
        if path.suffix.lower() not in ENCODERS:
            raise UsageError(
                f"{path} does not end in {', '.join(ENCODERS)}, .gif or .y4m, and is no folder: name one of those"
            )
        name = self.encoder or ENCODERS[path.suffix.lower()]
        try:
            codec = av.Codec(name, "w")
        except (ValueError, av.error.FFmpegError) as error:
            raise UsageError(f"there is no encoder {name!r}; there are {', '.join(encoders())}") from error
        if codec.type != "video":
            raise UsageError(f"{name} encodes {codec.type}; there are {', '.join(encoders())}")
        return codec.name  # h264 is libx264

    def codec_options(self, encoder: str) -> dict[str, str]:
        """Options for the encoder.

        Raises:
            UsageError: one that the encoder does not have, which it would ignore in silence.
        """
        context = av.CodecContext.create(encoder, "w")
        known = {
            option.name
            for group in (context.supported_options.private, context.supported_options.generic)
            for option in group
        }
        asked = dict(self.options)
        if self.crf is not None:
            asked["crf"] = f"{self.crf:g}"
        if self.preset is not None:
            asked["preset"] = self.preset
        for name in asked:
            if name not in known:
                raise UsageError(f"{encoder} has no option {name!r}; it has {', '.join(sorted(known))}")
        defaults = DEFAULTS.get(encoder, {})
        kept = {name: value for name, value in defaults.items() if name == "b" and value == "0" and "crf" in asked}
        return {**(kept if asked.keys() & _RATE_CONTROL else defaults), **asked}


def encoders() -> list[str]:
    """Names of the video encoders of this PyAV; some need hardware."""
    found = []
    for name in sorted(av.codecs_available):
        try:
            codec = av.Codec(name, "w")
        except (ValueError, av.error.FFmpegError):
            continue  # a decoder
        if codec.type == "video" and codec.name == name != "wrapped_avframe":
            found.append(name)
    return found


_FORMATS = MappingProxyType(
    {".mp4": "mp4", ".m4v": "ipod", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".nut": "nut"}
)
"""File suffix -> FFmpeg's muxer."""


def check_container(path: Path, encoder: str) -> None:
    """Find out, before any work and by an attempt in memory, whether a container takes an encoder.

    Raises:
        VideoError: it does not; names those that do.
    """
    if not _takes(path.suffix.lower(), encoder):
        others = " or ".join(suffix for suffix in _FORMATS if _takes(suffix, encoder)) or "nothing that is written here"
        raise VideoError(f"{path.suffix} does not take {encoder}: write {others}, or pass another --encoder")


def _takes(suffix: str, encoder: str) -> bool:
    try:
        av.open(io.BytesIO(), "w", format=_FORMATS[suffix]).add_stream(encoder, rate=25)
    except (ValueError, av.error.FFmpegError):
        return False
    return True


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
        if profile := default_profile(encoder, self.pixel_format):
            codec_options.setdefault("profile", profile)
        self._file = StagedFile(path, force=force)
        self._unit = output_format.unit
        self._companions = other_streams
        self._tags, self._count = dict(tags or {}), 0
        self._shift = output_format.shift
        self._end = output_format.origin
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
        rate = output_format.rate or Fraction(25)
        stream = self._container.add_stream(encoder, rate=rate.limit_denominator(1_000_000), options=options)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = (
            output_format.size.width,
            output_format.size.height,
            self.pixel_format,
        )
        if context.codec.canonical_name == "hevc" and self._file.final.suffix.lower() in MOV:
            context.codec_tag = "hvc1"  # what Apple's players look for; FFmpeg's own is hev1
        stream.time_base = context.time_base = output_format.unit
        context.thread_type = "FRAME"  # PyAV's own choice, slices, costs quality
        context.flags |= int(Flags.frame_duration)  # the last frame's duration is the one that ends the video
        color = output_format.color
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        if not output_format.native_format.is_rgb or not self.pixel_format.startswith(("rgb", "bgr", "gbr")):
            context.colorspace = color.matrix
            context.color_range = ColorRange.JPEG if color.full else ColorRange.MPEG
        if output_format.aspect:
            context.sample_aspect_ratio = output_format.aspect
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
        picture.time_base = self._unit
        picture.pts = round((time - self._shift) / self._unit)
        picture.duration = round((time - self._shift + duration) / self._unit) - picture.pts
        picture.pict_type = 0  # the source's I, P and B say nothing about the output
        self._encode(picture)
        if self._companions:
            self._companions.copy_until(time)
        self._end = time + duration
        self._count += 1

    def _encode(self, picture: VideoFrame | None) -> None:
        with one_line(f"{self._stream.codec_context.name} cannot encode a frame"):
            packets = self._stream.encode(picture)
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

    def finish(self, *, whole: bool = True) -> None:
        """See :class:`~runtimes.video.sink.Sink`. Of an interrupted job, other streams end where the video does."""
        try:
            self._encode(None)
            if self._companions:
                self._companions.copy_until(None if whole else self._end)
                self._companions.close()
            with one_line(f"{self._file.final.suffix} cannot be finished"):
                self._container.close()
            if self._tags:  # a part
                seal(self._file.staging, self._count)
            self._file.finish()
        except BaseException:
            self.discard()
            raise

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
