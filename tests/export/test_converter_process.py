"""Converters as processes: how they end is told."""

from __future__ import annotations

import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from export.converter_process import run_logged

Usage = namedtuple("Usage", ["total", "used", "free"])


def test_a_converter_that_filled_the_disk_has_not_done_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with 0, and its file is there: cut short."""
    log, result = tmp_path / "log.txt", tmp_path / "model"
    command = [sys.executable, "-c", f"open({str(result)!r}, 'w').close()"]
    run_logged(command, title="converter", log=log, timeout_s=60.0, result=result)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2**24, 2**24, 0))
    with pytest.raises(OSError, match="No space left on device"):
        run_logged(command, title="converter", log=log, timeout_s=60.0, result=result)
