"""The exceptions of the deployed side. Every message says what, got, expected and how to fix it."""

from __future__ import annotations


class RuntimesError(Exception):
    """Root of what a user can cause and repair; ``exit_code`` is what a command line returns for it."""

    exit_code = 1


class ArtifactError(RuntimesError):
    """The artifact folder is missing, incomplete, changed, or of another version."""


class ParityError(RuntimesError):
    """The artifact failed the comparison with its PyTorch reference."""

    exit_code = 2


class BackendError(RuntimesError):
    """A backend is not installed, lacks the device asked for, or refused the model."""


class DeviceMismatchError(BackendError):
    """The artifact is right, but was compiled for another device than this one."""


class DeviceUnavailableError(BackendError):
    """The device is there, but what the backend needs to start on it is not."""


class FrameError(RuntimesError, ValueError):
    """A frame has the wrong type, shape, size or range."""


class TimestepError(RuntimesError, ValueError):
    """The time step is outside (0, 1), or not one that this checkpoint serves."""


class UsageError(RuntimesError):
    """The command line asks for something that does not exist or contradicts itself."""


class RuntimesWarning(UserWarning):
    """Root of what a user should know; command lines print it in one line."""


class VerdictWarning(RuntimesWarning):
    """What a user should know of an artifact's verdict."""


class ParityNotRunWarning(VerdictWarning):
    """The artifact was never compared with PyTorch on such a device, in such arithmetic."""
