"""Bytes that nobody wrote: no file of an artifact may make the library crash or read beyond its memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("name", "count"),
    [("manifest.json", 50), ("model.param", 1500), ("model.bin", 20), ("proof.dat", 300), ("verdicts.json", 150)],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_damaged_files(
    probe: Callable[..., bytes], native_artifact: Path, tmp_path: Path, name: str, count: int, seed: int
) -> None:
    taken, _, tried, _ = probe("fuzz", native_artifact, name, seed, count, tmp_path).decode().split()
    assert int(tried) == count
    assert int(taken) < count // 2
