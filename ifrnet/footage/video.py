"""Decode a video to RGB frames, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ifrnet.footage.errors import FootageError

Frame: TypeAlias = NDArray[np.uint8]
"""(H, W, 3), RGB."""


def read_frames(
    path: Path, rows: tuple[int, int] | None = None, *, start: int = 0, stop: int | None = None
) -> Iterator[Frame]:
    """Frames of the first video stream in presentation order, which is the order decoders give them in.

    Args:
        path: any video that FFmpeg decodes.
        rows: first picture row and one past the last, for files with black bars.
        start: index of the first frame wanted; decoding begins at the key frame before it.
        stop: one past the index of the last frame wanted.

    Yields:
        (H, W, 3) uint8 RGB.

    Raises:
        FootageError: the file cannot be opened or holds no video.
    """
    import av  # decoding is the only need for it, and listing the catalogue must work without

    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise FootageError(f"{path} cannot be read as a video: {error}") from error
    with container:
        if not container.streams.video:
            raise FootageError(f"{path} holds no video stream")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        begin = _seek(container, stream, start) if start else None
        index = start
        for decoded in _decoded(container, stream, path):
            if begin is not None and (decoded.pts is None or decoded.pts < begin):
                continue
            if stop is not None and index >= stop:
                return
            yield _picture(decoded, rows)
            index += 1


def _decoded(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    import av

    try:
        yield from container.decode(stream)
    except av.FFmpegError as error:
        raise FootageError(f"{path} is damaged: {error}") from error


def _seek(container: Any, stream: Any, start: int) -> int:
    """Go to the key frame before frame ``start``. Returns that frame's time stamp, counted over the real packets."""
    stamps = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
    begin: int = stamps[min(start, len(stamps) - 1)]
    container.seek(begin, stream=stream, backward=True)
    return begin


def _picture(decoded: Any, rows: tuple[int, int] | None) -> Frame:
    frame: Frame = decoded.to_ndarray(format="rgb24")  # (H, W, 3)
    return frame if rows is None else frame[rows[0] : rows[1]]
