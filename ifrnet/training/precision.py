"""Which arithmetic trains fastest here, asked of the processor's flags."""

from __future__ import annotations

from pathlib import Path

from ifrnet.training.options import Precision

AUTO = "auto"
"""``--precision``: see :func:`pick_precision`."""

BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")
"""Of x86 processors that multiply bfloat16. Without them it is emulated: 3.23 s a step where float32 takes 1.45 s."""

CPU_INFO = Path("/proc/cpuinfo")


def pick_precision(device: str) -> tuple[Precision, str]:
    """The arithmetic for a kind of device, "cpu" or "cuda", and why."""
    if device == "cuda":
        return Precision.BFLOAT16, "a GPU"
    found = sorted(processor_flags() & set(BFLOAT16_FLAGS))
    if found:
        return Precision.BFLOAT16, f"this processor has {' and '.join(found)}"
    return Precision.FLOAT32, f"this processor has neither {' nor '.join(BFLOAT16_FLAGS)}"


def processor_flags() -> set[str]:
    """What the processor can do, as Linux names it; empty where that is not told."""
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return set()
    for line in lines:
        name, _, flags = line.partition(":")
        if name.strip() == "flags":
            return set(flags.split())
    return set()
