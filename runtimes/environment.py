"""The machine that something ran on: processor, instruction sets, versions of what is installed."""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "ifrnet-export"

INSTRUCTION_SETS = (
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
)
"""Those that decide which kernels a backend chooses and in which arithmetic they run, as Linux names them."""


def cache_folder() -> Path:
    """Where this user keeps what can be made again: ``$IFRNET_CACHE``, or ``~/.cache/ifrnet``.

    Raises:
        FileNotFoundError: there is neither; a container's user may have no home.
    """
    root = os.environ.get("IFRNET_CACHE")
    try:
        return Path(root) if root else Path.home() / ".cache" / "ifrnet"
    except RuntimeError as error:
        raise FileNotFoundError("this user has no home folder, and IFRNET_CACHE names none") from error


def processor() -> str:
    """Name of the CPU, as the system gives it."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def instruction_sets() -> tuple[str, ...]:
    """The architecture, then which of :data:`INSTRUCTION_SETS` the CPU has.

    Only Linux lists them; elsewhere the name of the CPU stands for them.
    """
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    if not flags:
        return (platform.machine(), processor())
    return (platform.machine(), *(name for name in INSTRUCTION_SETS if name in flags))


@functools.cache
def _cpuinfo() -> dict[str, str]:
    """The first processor of ``/proc/cpuinfo``; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def known_packages() -> tuple[str, ...]:
    """This distribution, and what it and its extras ask for, but for the tools of its developers."""
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a folder of sources
        required = []
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if not line.endswith('extra == "dev"')]
    return tuple(dict.fromkeys((DISTRIBUTION, "numpy", *names)))


def package_versions(names: Iterable[str] | None = None) -> dict[str, str]:
    """Distribution name -> version, of those among ``names`` that are installed; by default :func:`known_packages`."""
    found = {}
    for name in known_packages() if names is None else names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
