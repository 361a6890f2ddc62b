"""Fixtures of the video tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtimes.video.clips import Blender, write_artifact


@pytest.fixture
def blenders(monkeypatch: pytest.MonkeyPatch) -> list[Blender]:
    """``runtimes.load`` gives :class:`Blender`; the list has every one that was loaded."""
    import runtimes
    from runtimes.artifact import read_manifest

    made: list[Blender] = []

    def load(path: Path, *, device: str | None = None, threads: int | None = None) -> Blender:
        made.append(Blender(read_manifest(Path(path)), device or "cpu"))
        return made[-1]

    monkeypatch.setattr(runtimes, "load", load)
    return made


@pytest.fixture
def artifact(tmp_path: Path, blenders: list[Blender]) -> Path:
    """An artifact for any t at the clips' size."""
    return write_artifact(tmp_path / "artifacts" / "any")
