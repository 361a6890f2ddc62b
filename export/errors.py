"""What an export refuses, and how it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ParamSpec

from runtimes.errors import RuntimesError

P = ParamSpec("P")


class ExportError(RuntimesError):
    """An option that a target does not have, a package that is missing, or a model that does not fit."""


class SentinelError(RuntimesError):
    """A built graph is not the network any more: one of the known silent failures was caught."""

    exit_code = 2


def run_sentinels(sentinels: Mapping[str, Callable[P, str]], *facts: P.args, **more: P.kwargs) -> None:
    """Run named checks, each of which says what is wrong, or an empty string.

    Raises:
        SentinelError: naming the first that fired.
    """
    for name, sentinel in sentinels.items():
        if trouble := sentinel(*facts, **more):
            raise SentinelError(f"sentinel {name}: {trouble}")
