"""Caches of TensorRT, kept beside what they belong to and keyed by everything that makes them valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtimes.checked_cache import cache_key, read_cache, write_cache
from runtimes.errors import BackendError


def gpu_facts(cuda: Any, index: int) -> dict[str, str]:
    """What a compiled kernel depends on: the GPU, its compute capability, and the driver.

    Raises:
        BackendError: CUDA does not answer.
    """
    found = {}
    for name, result in (("gpu", cuda.cudaGetDeviceProperties(index)), ("driver", cuda.cudaDriverGetVersion())):
        status, value = result
        if status.value != 0:
            raise BackendError(f"CUDA failed: {status.name}")
        found[name] = value
    gpu = found["gpu"]
    return {
        "gpu": gpu.name.decode(),
        "compute capability": f"{gpu.major}.{gpu.minor}",
        "driver": str(found["driver"]),
    }


class RuntimeCache:
    """Kernels that TensorRT for RTX compiled on first use, for the next process.

    Args:
        engine: deserialised, of a distribution that has ``IRuntimeCache``.
        folder: the artifact's.
        facts: everything that makes the kernels valid: engine, version, GPU, driver.
    """

    def __init__(self, engine: Any, folder: Path, facts: dict[str, str]) -> None:
        self._key = cache_key(facts)
        self._path = folder / f"runtime-{self._key[:16]}.cache"
        self.config = engine.create_runtime_config()
        self._cache = self.config.create_runtime_cache()
        self._stored = read_cache(self._path, self._key)
        if self._stored and not self._cache.deserialize(self._stored):
            self._stored = b""  # written by another environment than the key tells apart: compile again
        if not self.config.set_runtime_cache(self._cache):
            raise BackendError("TensorRT refuses its own runtime cache")

    def save(self) -> None:
        """Write what was compiled since it was read."""
        blob = bytes(self._cache.serialize())
        if blob != self._stored:
            write_cache(self._path, self._key, blob)
            self._stored = blob


class TimingCache:
    """Timings of kernels that TensorRT measured while it built, for the next build.

    Args:
        config: of the builder; the cache is attached to it.
        folder: that receives the artifacts.
        facts: everything that makes the timings valid: version, GPU, driver.
    """

    def __init__(self, config: Any, folder: Path, facts: dict[str, str]) -> None:
        self._key = cache_key(facts)
        self._path = folder / f"timing-{self._key[:16]}.cache"
        self._stored = read_cache(self._path, self._key)
        self._cache = config.create_timing_cache(self._stored)
        if self._cache is None or not config.set_timing_cache(self._cache, False):
            self._stored = b""  # of another device than the key tells apart: measure again
            self._cache = config.create_timing_cache(b"")
            config.set_timing_cache(self._cache, False)

    def save(self) -> None:
        """Write what was measured since it was read."""
        blob = bytes(self._cache.serialize())
        if blob != self._stored:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_cache(self._path, self._key, blob)
            self._stored = blob
