"""Files and folders that are there whole or not at all: a temporary name, then a rename.

A temporary name holds the machine and the process that made it. A process that was killed cannot clean up after itself,
so the next one that writes the same name removes what the dead one left.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LEAST_ROOM = 2**16
"""In bytes; a full disk may have parts of blocks left."""

_COUNTER = itertools.count()

_LONGEST = 200
"""Bytes of a name that go into longer ones. File systems take 255."""

_MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def temporary_name(final: Path) -> Path:
    """A name beside ``final`` that nobody else uses, with its suffix: ``.name.MACHINE-PID-COUNT.partial.suffix``."""
    middle = f"{_MACHINE}-{os.getpid()}-{next(_COUNTER)}.partial"
    return final.with_name(f".{beginning(final.stem)}.{middle}{final.suffix}")


def beginning(name: str) -> str:
    """What a longer name may begin with: ``name``, or of one that is nearly too long itself, a part and a digest."""
    data = os.fsencode(name)
    if len(data) <= _LONGEST:
        return name
    return f"{data[:_LONGEST].decode('utf-8', 'ignore')}-{hashlib.sha256(data).hexdigest()[:8]}"


def is_taken(path: Path) -> bool:
    """Whether there is something of that name, if only a link that leads nowhere, which ``exists`` does not see."""
    return os.path.lexists(path)


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """A temporary path for a file; the file takes the name ``final`` when the block ends well, and is removed if not.

    What is written is on the disk before the rename: after a power cut there is the old file or the new one.

    Raises:
        OSError: the folder cannot be written to.
    """
    remove_abandoned(final)
    partial = temporary_name(final)
    try:
        yield partial
        sync(partial)
        partial.replace(final)
        sync(final.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(final: Path, data: bytes) -> None:
    """Write a file in one step. Raises OSError when the folder cannot be written to."""
    with replacing(final) as partial:
        partial.write_bytes(data)


def write_text(final: Path, text: str) -> None:
    """Write a UTF-8 file in one step. Raises OSError when the folder cannot be written to."""
    write_bytes(final, text.encode("utf-8"))


def temporary_folder(final: Path) -> Path:
    """A new folder beside ``final``, for what will take that name."""
    remove_abandoned(final)
    folder = temporary_name(final)
    folder.mkdir()
    return folder


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder has no room left: native libraries and converters often fill it without a word."""
    return shutil.disk_usage(folder).free < _LEAST_ROOM


def sync(path: Path) -> None:
    """Have the operating system write a file, or the names in a folder, to the disk. Not every system can: Windows."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_abandoned(final: Path) -> None:
    """Remove what processes of this machine that are gone left under temporary names of ``final``."""
    pattern = re.compile(
        re.escape(f".{beginning(final.stem)}.{_MACHINE}-") + r"(\d+)-\d+\.partial" + re.escape(final.suffix)
    )
    try:
        names = os.listdir(final.parent)
    except OSError:
        return
    for name in names:
        match = pattern.fullmatch(name)
        if match is None or _is_alive(int(match[1])):
            continue
        path = final.parent / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # os.kill would end the process there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
