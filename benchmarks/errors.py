"""What a benchmark refuses."""

from __future__ import annotations

from runtimes.errors import RuntimesError


class BenchmarkError(RuntimesError):
    """A dataset, a results file or an option that does not fit, with the repair."""
