"""What goes wrong between a video file and the runtimes."""

from __future__ import annotations

import importlib.util

from runtimes.errors import RuntimesError
from runtimes.printable import printable


class VideoError(RuntimesError):
    """The video, or what is asked for with it, cannot be processed. The message is safe to print, names included."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def require_video_packages() -> None:
    """Name the extra when a package for videos is missing.

    Raises:
        VideoError: one of them is not installed.
    """
    lacking = [name for name in ("av", "rich", "PIL") if importlib.util.find_spec(name) is None]
    if lacking:
        names = {"PIL": "pillow"}
        listed = ", ".join(names.get(name, name) for name in lacking)
        raise VideoError(f"videos need {listed}: pip install 'ifrnet-export[video]'")
