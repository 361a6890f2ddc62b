"""Packages that no command loads before it needs them: everything that a target or a backend declares."""

from __future__ import annotations

from export.declarations import TOOLCHAIN
from export.targets import TARGETS
from runtimes.registry import BACKENDS

HEAVY = {
    *TOOLCHAIN,
    *(name for module in TARGETS.values() for name in module.REQUIRES),
    *(name for module in BACKENDS.values() for name in module.ABOUT.modules),
    "nncf",
}
