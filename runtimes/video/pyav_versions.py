"""Where the versions of PyAV differ: 18 is the last for Python 3.11, 19 is what newer Pythons get."""

from __future__ import annotations

from typing import Any

import av
from av.video.frame import VideoFrame

READ_METADATA: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}
"""For ``av.open``, so that a title that is no UTF-8 refuses no file: 19 keeps its bytes unasked."""


def side_data(frame: VideoFrame) -> dict[str, bytes]:
    """What a frame carries beside its pixels, by FFmpeg's name; 18 iterates over the items, 19 over their types."""
    container: Any = frame.side_data
    items = [key if hasattr(key, "type") else container[key] for key in container]
    return {item.type.name: bytes(item) for item in items}
