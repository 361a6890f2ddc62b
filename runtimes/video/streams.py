"""Files that are videos, the stream to work on, and what decodes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from runtimes.video.containers import STDIN, open_input
from runtimes.video.errors import VideoError
from runtimes.video.stills import MAX_PIXELS, check_pixels


def open_video(path: str) -> InputContainer:
    """Open a file, or y4m on standard input.

    Raises:
        VideoError: missing, a pipe or a device, or not a video.
    """
    if path != STDIN and not Path(path).exists():
        raise VideoError(
            f"{path} does not exist: pass a video, a GIF, a folder of images, or - for y4m on standard input"
        )
    if path != STDIN and not Path(path).is_file():
        raise VideoError(
            f"{path} is a pipe, a folder or a device, and a video is read more than once: pass a file, or - for y4m on "
            "standard input"
        )
    return open_input(path)


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The first video stream that is not a cover picture.

    Raises:
        VideoError: there is none, or none that can be decoded, or its frames are too large.
    """
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
        raise VideoError(f"{name} has no video stream; it has {kinds}")
    first: VideoStream = streams[0]
    context: VideoCodecContext | None = first.codec_context  # PyAV 18 leaves it out where there is no decoder
    if context is None:
        raise VideoError(f"{name} has video of a kind that this FFmpeg cannot decode: convert it first")
    check_pixels(context.width, context.height, name)
    return first


def decoder_with_alpha(stream: VideoStream) -> VideoCodecContext | None:
    """FFmpeg's own VP8 and VP9 decoders leave transparency out; libvpx gives it, where it is built in."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if name is None or tag_of(stream.metadata, "alpha_mode") != "1":
        return None
    try:
        decoder = av.CodecContext.create(name, "r")
    except (ValueError, av.error.FFmpegError):
        return None
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_type, decoder.options = "AUTO", {"max_pixels": str(MAX_PIXELS)}
    return decoder


def tag_of(tags: Mapping[str, str], name: str) -> str | None:
    """A tag of a file or of a stream, however it is spelled: FFmpeg writes capitals in .mkv, and as given in .webm."""
    return next((value for key, value in tags.items() if key.lower() == name), None)
