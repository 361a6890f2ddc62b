"""The one error that footage raises for what a user can repair."""

from __future__ import annotations

from ifrnet.errors import ModelError


class FootageError(ModelError):
    """Footage cannot be had or used as asked; the message says what to do."""
