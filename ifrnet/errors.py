"""What a user of the model can get wrong.

Messages are one line and say what was found, what was expected and how to repair it. ``TimestepError`` is the one of
``runtimes.errors``.
"""

from __future__ import annotations

from runtimes.errors import RuntimesError, RuntimesWarning


class ModelError(RuntimesError):
    """Root of the errors about checkpoints, frames and footage."""


class CheckpointError(ModelError):
    """A checkpoint that is not there, cannot be read safely, or does not hold IFRNet."""


class SizeError(ModelError, ValueError):
    """Frames or a scale that the network does not take."""


class UncheckedWeightsWarning(RuntimesWarning):
    """A checkpoint is used without a sha256 to compare it with."""
