"""Converters run as processes of their own, since they print pages and end the process on what they do not like."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from export.errors import ExportError
from runtimes.atomic import is_full
from runtimes.printable import MAX_REASON, one_line


def run_logged(
    command: Sequence[str | Path], *, title: str, log: Path, timeout_s: float, result: Path | None = None
) -> None:
    """Run a converter.

    Args:
        command: the program and its arguments.
        title: what it is called in messages.
        log: receives everything that it prints, and is kept when it fails.
        timeout_s: how long it may take.
        result: a file without which it has failed.

    Raises:
        ExportError: it failed, with its last useful line and where the rest is.
        OSError: the disk is full.
    """
    with log.open("w", encoding="utf-8") as out:
        try:
            done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise ExportError(
                f"{title} did not end within {timeout_s:.0f} s: export a smaller size; the log is {log}"
            ) from error
    check_room((result or log).parent)
    if done.returncode != 0 or (result is not None and not result.is_file()):
        reason = last_useful_line(log.read_text(encoding="utf-8", errors="replace"))
        raise ExportError(f"{title} ended with {how_it_ended(done.returncode)}: {reason}; the whole log is {log}")
    log.unlink()


def check_room(folder: Path) -> None:
    """Converters fill a disk without a word, end well, and leave files that are cut short.

    Raises:
        OSError: the disk of a folder is full.
    """
    if is_full(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def how_it_ended(code: int) -> str:
    """``code 1`` or ``signal 11``, from what :mod:`subprocess` returns."""
    return f"signal {-code}" if code < 0 else f"code {code}"


def last_useful_line(text: str) -> str:
    """Of what a tool printed: its last error, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return one_line((errors or lines or ["it printed nothing"])[-1], MAX_REASON)
