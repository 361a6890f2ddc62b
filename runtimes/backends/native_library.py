"""What native libraries do behind Python's back: they print to file descriptors, and their threads die in a fork."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runtimes.errors import BackendError

_printing = threading.RLock()
"""Two threads that redirect the same descriptors would leave one of them redirected."""


@contextmanager
def captured_output() -> Iterator[list[str]]:
    """Keep what native libraries print to file descriptors 1 and 2 out of the user's terminal.

    What other threads print in the meantime is captured too, so hold it for loading only.

    Yields:
        A list that holds the lines once the block has ended.
    """
    lines: list[str] = []
    with _printing, tempfile.TemporaryFile() as printed:
        _flush()
        kept = {number: os.dup(number) for number in (1, 2)}
        try:
            for number in kept:
                os.dup2(printed.fileno(), number)
            yield lines
        finally:
            _flush()
            for number, descriptor in kept.items():
                os.dup2(descriptor, number)
                os.close(descriptor)
            printed.seek(0)
            lines += printed.read().decode(errors="replace").splitlines()


def _flush() -> None:
    """Python's buffers and those of the C library, which it empties only when they are full or the process ends."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None).fflush(None)


class ForkGuard:
    """Refuses to hang: a library's threads do not exist in a forked child, which would wait for them for ever.

    Args:
        title: of the library.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._process: int | None = None

    def check(self) -> None:
        """Remember the first process that used the library.

        Raises:
            BackendError: this process was forked from it.
        """
        self._process = self._process or os.getpid()
        if self._process != os.getpid():
            raise BackendError(
                f"process {os.getpid()} was forked from {self._process}, which had used {self._title}, and would hang: "
                'start processes with multiprocessing.get_context("spawn"), or use '
                f"{self._title} in the children only"
            )
