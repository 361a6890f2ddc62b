"""TensorRT's caches, against recordings of the two objects they drive: this machine may have no GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from runtimes.backends.tensorrt_cache import RuntimeCache, TimingCache, gpu_facts
from runtimes.checked_cache import CacheWarning
from runtimes.errors import BackendError

FACTS = {"engine": "ab" * 32, "tensorrt": "1.7.1", "gpu": "A", "compute capability": "8.6", "driver": "13000"}


class Cache:
    """``IRuntimeCache`` or ``ITimingCache``."""

    def __init__(self, content: bytes = b"", accepts: bool = True) -> None:
        self.content, self.accepts = content, accepts

    def deserialize(self, blob: bytes) -> bool:
        if self.accepts:
            self.content = blob
        return self.accepts

    def serialize(self) -> bytearray:
        return bytearray(self.content)


class Engine:
    """``ICudaEngine`` with its ``IRuntimeConfig``."""

    def __init__(self, cache: Cache, attaches: bool = True) -> None:
        self.cache, self.attaches = cache, attaches
        self.attached: Cache | None = None

    def create_runtime_config(self) -> Engine:
        return self

    def create_runtime_cache(self) -> Cache:
        return self.cache

    def set_runtime_cache(self, cache: Cache) -> bool:
        self.attached = cache
        return self.attaches


def test_kernels_reach_the_next_process(tmp_path: Path) -> None:
    first = Engine(Cache())
    cache = RuntimeCache(first, tmp_path, FACTS)
    assert first.attached is first.cache
    first.cache.content = b"kernels"
    cache.save()
    second = Engine(Cache())
    RuntimeCache(second, tmp_path, FACTS)
    assert second.cache.content == b"kernels"
    other = Engine(Cache())
    RuntimeCache(other, tmp_path, {**FACTS, "driver": "13010"})
    assert other.cache.content == b""


def test_a_corrupted_file_never_reaches_tensorrt(tmp_path: Path) -> None:
    first = Engine(Cache(b"kernels"))
    RuntimeCache(first, tmp_path, FACTS).save()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    second = Engine(Cache())
    with pytest.warns(CacheWarning, match="has changed"):
        cache = RuntimeCache(second, tmp_path, FACTS)
    assert second.cache.content == b""
    second.cache.content = b"kernels again"
    cache.save()
    third = Engine(Cache())
    RuntimeCache(third, tmp_path, FACTS)
    assert third.cache.content == b"kernels again"


def test_what_tensorrt_refuses_is_written_anew(tmp_path: Path) -> None:
    RuntimeCache(Engine(Cache(b"old")), tmp_path, FACTS).save()
    RuntimeCache(Engine(Cache(b"old", accepts=False)), tmp_path, FACTS).save()
    (path,) = tmp_path.iterdir()
    before = path.stat().st_mtime_ns
    RuntimeCache(Engine(Cache()), tmp_path, FACTS).save()  # nothing new
    assert path.stat().st_mtime_ns == before


def test_a_cache_that_cannot_be_attached_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="refuses its own runtime cache"):
        RuntimeCache(Engine(Cache(), attaches=False), tmp_path, FACTS)


def test_the_methods_are_those_of_tensorrt_rtx() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    for kind, names in (
        (trt.IRuntimeCache, ("serialize", "deserialize")),
        (trt.IRuntimeConfig, ("create_runtime_cache", "set_runtime_cache")),
        (trt.ICudaEngine, ("create_runtime_config", "create_execution_context")),
        (trt.IBuilderConfig, ("create_timing_cache", "set_timing_cache")),
        (trt.ITimingCache, ("serialize",)),
    ):
        for name in names:
            assert callable(getattr(kind, name))


class Config:
    """``IBuilderConfig``: refuses caches of another device."""

    def __init__(self, refused: bytes = b"-") -> None:
        self.refused = refused
        self.cache: Cache | None = None

    def create_timing_cache(self, blob: bytes) -> Cache:
        return Cache(blob)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.cache = cache
        return cache.content != self.refused


def test_timings_reach_the_next_build(tmp_path: Path) -> None:
    first = Config()
    cache = TimingCache(first, tmp_path / "artifacts", FACTS)
    assert first.cache is not None
    first.cache.content = b"timings"
    cache.save()
    second = Config()
    TimingCache(second, tmp_path / "artifacts", FACTS)
    assert second.cache is not None
    assert second.cache.content == b"timings"
    third = Config(refused=b"timings")
    TimingCache(third, tmp_path / "artifacts", FACTS)
    assert third.cache is not None
    assert third.cache.content == b""


def test_facts_of_a_gpu() -> None:
    ok, lost = SimpleNamespace(value=0, name="cudaSuccess"), SimpleNamespace(value=999, name="cudaErrorUnknown")
    gpu = SimpleNamespace(name=b"RTX", major=8, minor=9)
    cuda = SimpleNamespace(cudaGetDeviceProperties=lambda i: (ok, gpu), cudaDriverGetVersion=lambda: (ok, 13000))
    assert gpu_facts(cuda, 0) == {"gpu": "RTX", "compute capability": "8.9", "driver": "13000"}
    cuda.cudaDriverGetVersion = lambda: (lost, 0)
    with pytest.raises(BackendError, match="cudaErrorUnknown"):
        gpu_facts(cuda, 0)
