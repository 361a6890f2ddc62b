"""What a user of the model can get wrong. One tree, so that a command line catches ``ModelError`` and nothing else.

Messages are one line and say what was found, what was expected and how to repair it.
"""

from __future__ import annotations


class ModelError(Exception):
    """Root of the errors that the user can repair; command lines print them and exit with :attr:`exit_code`."""

    exit_code = 1


class CheckpointError(ModelError):
    """A checkpoint that is not there, cannot be read safely, or does not hold IFRNet."""


class SizeError(ModelError, ValueError):
    """Frames or a scale that the network does not take."""


class TimestepError(ModelError, ValueError):
    """A time step that the checkpoint does not serve."""
