"""Encoders: which there are, for which files, with which options, and how good they are unless told otherwise."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import av

from runtimes.errors import UsageError
from runtimes.video.errors import VideoError

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

MOV = (".mp4", ".m4v", ".mov")
"""File suffixes of FFmpeg's MOV muxer."""

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


_NOT_KEPT = MappingProxyType({".mov": ("av1", "vp8", "vp9"), ".nut": ("prores",)})
"""File suffix -> codecs that its muxer seems to take: it refuses their header, or loses which profile they have."""

_IN_THE_STREAM = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4")
"""Codecs that say the shape of a pixel themselves."""


def check_container(path: Path, encoder: str) -> None:
    """Find out, before any work and by an attempt in memory, whether a container takes an encoder.

    Raises:
        VideoError: it does not; names those that do.
    """
    if not takes(path.suffix.lower(), encoder):
        others = " or ".join(suffix for suffix in _FORMATS if takes(suffix, encoder)) or "nothing that is written here"
        raise VideoError(f"{path.suffix} does not take {encoder}: write {others}, or pass another --encoder")


def takes(suffix: str, encoder: str) -> bool:
    """Whether files of this suffix hold what an encoder makes."""
    try:
        av.open(io.BytesIO(), "w", format=_FORMATS[suffix]).add_stream(encoder, rate=25)
    except (ValueError, av.error.FFmpegError):
        return False
    return av.Codec(encoder, "w").canonical_name not in _NOT_KEPT.get(suffix, ())


def keeps_alpha(suffix: str, encoder: str) -> bool:
    """Whether files of this suffix hold the transparency of an encoder: that of VP8 and VP9 is a stream of its own."""
    return not encoder.startswith("libvpx") or suffix in (".mkv", ".webm")


def keeps_aspect(suffix: str, codec: str) -> bool:
    """Whether files of this suffix say the shape of a pixel: PyAV gives it to the encoder, and MOV and MP4 ask that."""
    return suffix in MOV or codec in _IN_THE_STREAM
