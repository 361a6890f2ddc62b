"""The machine that a figure belongs to: processor and flags, memory, GPUs and driver, versions."""

from __future__ import annotations

import math
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtimes.device import Device
from runtimes.environment import available_cores, instruction_sets, package_versions, processor
from runtimes.registry import backend

BUSY = 0.5
"""Load average above which timings are called noisy: some other program is running."""


def describe() -> dict[str, Any]:
    """The environment as it stands in results files. Memory in GB; ``load`` is the load average of the last minute."""
    architecture, *flags = instruction_sets()
    return {
        "cpu": processor(),
        "architecture": architecture,
        "cores": available_cores(),
        "flags": flags,
        "memory_gb": _memory_gb(),
        "gpus": _gpus(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "load": load_average(),
    }


def devices(backends: Iterable[str]) -> list[dict[str, Any]]:
    """Every device of these backends, for people: what it is, its driver, and why it cannot be used."""
    found = []
    for name in backends:
        module = backend(name)
        missing = module.missing()
        here = [Device(name=module.DEFAULT_DEVICE, reason=missing)] if missing else module.devices()
        found += [{"backend": name, **asdict(device)} for device in here]
    return found


def load_average() -> float | None:
    """Mean number of running processes in the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def available_mb() -> float:
    """Memory that new processes can take, in MB of 1e6 bytes; infinite where the system does not tell."""
    path = Path("/proc/meminfo")
    if not path.is_file():
        return math.inf
    line = next(line for line in path.read_text().splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024 / 1e6


def _memory_gb() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)


def _gpus() -> list[dict[str, str]]:
    """NVIDIA GPUs with their driver, as nvidia-smi lists them."""
    if shutil.which("nvidia-smi") is None:
        return []
    fields = ("name", "driver_version", "compute_cap", "memory.total")
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return [{"name": "unknown", "error": done.stderr.strip() or f"nvidia-smi exited with {done.returncode}"}]
    rows = (line.split(", ") for line in done.stdout.strip().splitlines())
    return [dict(zip(fields, row, strict=True)) for row in rows]
