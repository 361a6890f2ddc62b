"""The one error that footage raises for what a user can repair."""

from __future__ import annotations


class FootageError(Exception):
    """Footage cannot be had or used as asked; the message says what to do."""
