"""What a user of the calibration can get wrong."""

from __future__ import annotations

from runtimes.errors import RuntimesError


class CalibrationError(RuntimesError):
    """Footage that cannot be calibrated on, or scales that do not belong to the model."""


class QualityError(RuntimesError):
    """INT8 loses more than the gate allows."""

    exit_code = 2
