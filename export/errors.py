"""What an export refuses, and how it fails."""

from __future__ import annotations

from runtimes.errors import RuntimesError


class ExportError(RuntimesError):
    """An option that a target does not have, a package that is missing, or a model that does not fit."""


class SentinelError(RuntimesError):
    """A built graph is not the network any more: one of the known silent failures was caught."""

    exit_code = 2
