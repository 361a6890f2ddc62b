"""An artifact's folder while it is written: under a temporary name, until it is whole."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtimes.artifact import MANIFEST
from runtimes.atomic import is_full, is_taken, sync, temporary_folder
from runtimes.errors import UsageError


@contextmanager
def staged_folder(final: Path, *, force: bool) -> Iterator[Path]:
    """A temporary folder beside ``final`` that takes its name when the block ends well, and vanishes when not.

    Raises:
        UsageError: ``final`` exists and ``force`` is false, or is not an artifact that may be replaced; or the disk is
            full.
    """
    check_destination(final, force=force)
    final.parent.mkdir(parents=True, exist_ok=True)
    staging = temporary_folder(final)
    try:
        yield staging
        for path in staging.rglob("*"):
            sync(path)
        sync(staging)
        if force and final.exists():
            _replace(final, staging)
        else:
            _take_name(staging, final)
        sync(final.parent)
    except Exception as error:
        if is_full(staging) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
            raise UsageError(f"the disk of {final.parent} is full: make room, or pass another --out") from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _take_name(staging: Path, final: Path) -> None:
    try:
        staging.rename(final)
    except OSError as error:
        if not is_taken(final):
            raise
        raise UsageError(
            f"{final} was made by another process meanwhile, and stays: pass --force to replace it, or another --out"
        ) from error


def _replace(final: Path, staging: Path) -> None:
    """Let ``staging`` take the name of ``final``, which gets it back if that fails."""
    retired = temporary_folder(final)
    old = final.rename(retired / final.name)
    try:
        staging.rename(final)
    except BaseException:
        old.rename(final)
        raise
    finally:
        shutil.rmtree(retired)


def check_destination(final: Path, *, force: bool) -> None:
    """Refuse to overwrite, before any work is done.

    Raises:
        UsageError: see :func:`staged_folder`.
    """
    if not is_taken(final):
        return
    if not force:
        raise UsageError(f"{final} exists: pass --force to replace it, or another --out")
    if not (final / MANIFEST).is_file():
        raise UsageError(f"{final} exists and is not an artifact, so --force does not replace it: pass another --out")
