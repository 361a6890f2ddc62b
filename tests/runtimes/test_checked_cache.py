"""Caches: keyed, checksummed, whole or not there, and never handed on when they changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtimes.checked_cache import CacheWarning, cache_key, read_cache, write_cache

FACTS = {"engine": "ab" * 32, "tensorrt": "1.7.1", "gpu": "A", "compute capability": "8.6", "driver": "13000"}
KEY = cache_key(FACTS)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.cache"
    write_cache(path, KEY, b"kernels")
    assert read_cache(path, KEY) == b"kernels"
    write_cache(path, KEY, b"")
    assert read_cache(path, KEY) == b""
    assert [item.name for item in tmp_path.iterdir()] == ["a.cache"]


def test_nothing_there_is_nothing(tmp_path: Path) -> None:
    assert read_cache(tmp_path / "a.cache", KEY) == b""


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_is_in_the_key(fact: str, tmp_path: Path) -> None:
    path = tmp_path / "a.cache"
    write_cache(path, KEY, b"kernels")
    assert read_cache(path, cache_key({**FACTS, fact: "another"})) == b""


@pytest.mark.parametrize("position", [0, 20, 60, -1], ids=["magic", "key", "checksum", "payload"])
def test_a_changed_byte_is_refused(position: int, tmp_path: Path) -> None:
    path = tmp_path / "a.cache"
    write_cache(path, KEY, b"kernels")
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.warns(CacheWarning, match="has changed since it was written"):
        assert read_cache(path, KEY) == b""


@pytest.mark.parametrize("length", [0, 10, 50, 80])
def test_a_truncated_file_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "a.cache"
    write_cache(path, KEY, b"kernels")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.warns(CacheWarning, match="has changed"):
        assert read_cache(path, KEY) == b""


def test_a_folder_that_is_not_there_warns(tmp_path: Path) -> None:
    with pytest.warns(CacheWarning, match="cannot write the cache"):
        write_cache(tmp_path / "missing" / "a.cache", KEY, b"kernels")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.cache"
    write_cache(path, KEY, b"old")

    def fail(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.warns(CacheWarning, match="disk full"):
        write_cache(path, KEY, b"new")
    assert read_cache(path, KEY) == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.cache"]
