"""The last bytes of a part: how many frames it has, when the last one ends, and the SHA-256 of all bytes before.

A part that was cut, or changed on its way from another machine, still opens and plays, with fewer frames. The seal
tells it from a whole one. It is wrapped in what containers skip: a free box of MP4, a void element of Matroska.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from runtimes.video.errors import VideoError

_MARK = b"ifrnet-part-seal"
_DIGITS = 16
_LENGTH = len(_MARK) + 2 * (1 + _DIGITS) + 1 + 64
_BLOCK = 1 << 20

_WRAPPERS = {
    ".mp4": struct.pack(">I4s", 8 + _LENGTH, b"free"),
    ".m4v": struct.pack(">I4s", 8 + _LENGTH, b"free"),
    ".mov": struct.pack(">I4s", 8 + _LENGTH, b"free"),
    ".mkv": bytes([0xEC, 0x80 | _LENGTH]),
    ".webm": bytes([0xEC, 0x80 | _LENGTH]),
    ".nut": bytes.fromhex("4e58dd672f23e64e") + bytes([_LENGTH]),
}
"""What stands before the seal; of NUT, the start of an index, which readers skip where it is not at the end."""


def seal(path: Path, frames: int, end: int) -> None:
    """Append the seal to a finished file of ``frames`` frames; the last ends at ``end``, which NUT does not store.

    Raises OSError when the disk is full.
    """
    numbers = f" {frames:0{_DIGITS}d} {end:0{_DIGITS}d} "
    with path.open("ab") as file:
        file.write(_WRAPPERS.get(path.suffix.lower(), b"") + _MARK + numbers.encode("ascii"))
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(digest.encode("ascii"))


def sealed_frames(path: Path) -> int:
    """How many frames a part has; see :func:`sealed`."""
    return sealed(path)[0]


def sealed(path: Path) -> tuple[int, int]:
    """How many frames a part has, and when the last one ends, in units of its times; after a check of every byte.

    Raises:
        VideoError: it has no seal, or was changed since.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - _LENGTH, 0))
        mark, frames, end, digest = [*file.read().split(b" ", 3), b"", b"", b""][:4]
    if mark != _MARK or not (frames.isdigit() and end.isdigit()):
        raise VideoError(f"{path} is not whole: the seal at its end is missing; make that chunk again")
    if _digest(path, size - len(digest)) != digest.decode("ascii", "replace"):
        raise VideoError(f"{path} is damaged: its bytes are not those that were written; make that chunk again")
    return int(frames), int(end)


def is_whole(path: Path) -> bool:
    """Whether the file is there with its seal unbroken."""
    try:
        sealed_frames(path)
    except (VideoError, OSError):
        return False
    return True


def _digest(path: Path, length: int) -> str:
    """SHA-256 of the first ``length`` bytes."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while length > 0 and (block := file.read(min(_BLOCK, length))):
            found.update(block)
            length -= len(block)
    return found.hexdigest()
