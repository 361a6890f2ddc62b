"""Opening files through FFmpeg: which formats, by which names, and what it says when it fails.

FFmpeg looks at the content: a playlist or a list of files may be called ``x.mp4``, and its demuxers open whatever file
or address the text names. Only formats that hold their own frames are opened, and only as local files.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import av
import av.logging
from av.container import InputContainer, OutputContainer

from runtimes.video.errors import VideoError
from runtimes.video.pyav_versions import READ_METADATA
from runtimes.video.stills import MAX_PIXELS

STDIN = "-"

_QUIET_S, _QUIET_TRIES = 0.005, 40
"""How long no error may have come, and how often that is tried."""

FORMATS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg", "nut", "mxf", "gxf", "lxf", "wtv"),
    *(
        "dv",
        "rm",
        "ivf",
        "obu",
        "h264",
        "hevc",
        "vvc",
        "evc",
        "av1",
        "avs2",
        "avs3",
        "cavsvideo",
        "h261",
        "h263",
        "m4v",
    ),
    *("vc1", "vc1test", "dirac", "dnxhd", "apv", "mjpeg", "mjpeg_2000", "smjpeg", "gif", "apng", "jpegxl_anim"),
    *("yuv4mpegpipe", "swf", "flic", "nsv", "nuv", "pva", "ty", "vivo", "cine", "mlv", "roq", "smk", "bink", "dhav"),
)
"""Demuxers that are used. All hold their own frames; playlists, text, single pictures, raw data and devices do not."""

logging.getLogger("libav").addHandler(logging.NullHandler())  # or Python prints what nobody asked for


def open_input(path: Path | str) -> InputContainer:
    """Open a local file, or y4m on standard input (``-``), to read.

    Raises:
        VideoError: missing, of a format that is not read, or not whole.
    """
    if path == STDIN and sys.stdin is None:
        raise VideoError("standard input is closed: pipe y4m into it, or name a file")
    try:
        with ffmpeg_log() as said:
            if path == STDIN:
                return av.open(sys.stdin.buffer, mode="r", format="yuv4mpegpipe", options=_limits())
            return av.open(
                f"file:{path}",  # a colon is part of the name, and no protocol
                mode="r",
                options=_limits(),
                container_options={"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"},
                **READ_METADATA,
            )
    except av.error.FFmpegError as error:
        name, expected = ("standard input", "y4m") if path == STDIN else (path, "a video")
        for line in said:
            if "not on whitelist" in line:
                raise VideoError(
                    f"{name} is of the format {line.partition(':')[0]!r}, which is not opened: expected frames in the "
                    "file itself, as in .mp4 or .mkv, and no playlist, text or single picture"
                ) from error
        raise VideoError(f"{name} cannot be read as {expected} ({reason(error, said)}): is it whole?") from error


def open_output(path: Path, options: Mapping[str, str], format: str | None = None) -> OutputContainer:
    """Open a local file to write.

    Raises:
        ValueError: the suffix is of no container.
        OSError: the folder cannot be written to.
    """
    return av.open(f"file:{path}", "w", format=format, container_options=dict(options))


def _limits() -> dict[str, str]:
    """For the decoders that look into a file as it is opened."""
    return {"max_pixels": str(MAX_PIXELS)}


@contextmanager
def ffmpeg_log() -> Iterator[list[str]]:
    """The lines that FFmpeg logs as errors in this thread, as ``who: what``, filled in when the block ends."""
    lines: list[str] = []
    with python_log(av.logging.ERROR), av.logging.Capture(local=True) as logged:
        try:
            yield lines
        finally:
            lines += [f"{who}: {line.strip()}" for _, who, line in logged if line.strip()]


@contextmanager
def python_log(level: int) -> Iterator[None]:
    """Hand what FFmpeg logs up to a level to Python inside the block, and nothing before and after.

    A decoder's thread may be about to hand over a message when the block ends. PyAV 18 then compares its level with
    None and prints a traceback. So messages go on being taken, and dropped, until none has come for some milliseconds.
    """
    before = av.logging.get_level()
    av.logging.set_level(level)
    try:
        yield
    finally:
        if before is None:
            av.logging.set_level(av.logging.PANIC)
            _wait_until_quiet()
        av.logging.set_level(before)


def _wait_until_quiet() -> None:
    seen = -1
    for _ in range(_QUIET_TRIES):
        count, _ = av.logging.get_last_error()
        if count == seen:
            return
        seen = count
        time.sleep(_QUIET_S)


def reason(error: Exception, said: list[str]) -> str:
    """Why FFmpeg failed: the first error that it logged, which is the cause, or its name for the error."""
    return said[0] if said else str(getattr(error, "strerror", None) or error)


@contextmanager
def one_line(doing: str) -> Iterator[None]:
    """What FFmpeg raises in the block becomes one line that begins with ``doing``.

    Raises:
        VideoError: as said.
        OSError: the operating system's errors stay what they are: a disk that is full.
    """
    try:
        yield
    except OSError:
        raise
    except av.error.FFmpegError as error:
        raise VideoError(f"{doing}: {error.strerror}") from error
