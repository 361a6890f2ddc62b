"""What INT8 refuses."""

from __future__ import annotations

from runtimes.errors import RuntimesError


class CalibrationError(RuntimesError):
    """Footage that cannot be calibrated on, or scales that do not belong to the model."""
