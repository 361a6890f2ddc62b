"""What a user can repair in a training run."""

from __future__ import annotations

from ifrnet.errors import ModelError


class TrainingError(ModelError):
    """A run cannot start or go on as asked; the message says what to do."""
