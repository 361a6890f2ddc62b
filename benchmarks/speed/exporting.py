"""Exports the artifacts that a benchmark does not find, in a process of its own: a crash costs one row, not all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import Selection
from benchmarks.speed.time_limit import Stage, TimeLimit
from benchmarks.speed.worker import Worker, WorkerError
from export.errors import ExportError
from export.options import ExportOptions
from export.targets import target
from runtimes.contract import Precision, SizeRange

if TYPE_CHECKING:
    from export.pipeline import Pipeline

Report = Callable[[str], None]
"""Receives one short line when a stage begins."""

Wanted = tuple[str, Precision]
"""A target and a precision."""


def export_options(selection: Selection, targets: tuple[str, ...], precisions: tuple[Precision, ...]) -> ExportOptions:
    """The options of ``python -m export`` that give these artifacts."""
    return ExportOptions(
        targets=targets,
        precisions=precisions,
        model=selection.model,
        sizes=SizeRange.static(selection.size),
        out=selection.artifacts,
        verify_devices=selection.devices or (),  # software devices are verified only when named, like measured
    )


class Exporter:
    """Lives in the process: exports one after the other.

    Args:
        selection: of the benchmark.
        wanted: everything that will be asked for.
    """

    ready = True

    def __init__(self, selection: Selection, wanted: Sequence[Wanted]) -> None:
        targets, precisions = (tuple(dict.fromkeys(column)) for column in zip(*wanted, strict=True))
        self._options = export_options(selection, targets, precisions)

    @cached_property
    def _pipeline(self) -> Pipeline:
        """One for all: it shares traced graphs and PyTorch's outputs."""
        from export.pipeline import Pipeline

        return Pipeline(self._options, lambda _: None)

    def export(self, name: str, precision: Precision, folder: str) -> None:
        """Write one artifact.

        Raises:
            ExportError, ModelError, RuntimesError: it cannot be exported.
        """
        from export.pipeline import Job

        module = target(name)
        if reason := module.missing():
            raise ExportError(reason)
        module.check(self._options)
        self._pipeline.build(Job(name=folder, target_name=name, target=module, precision=precision))


def export_all(wanted: dict[Wanted, str], selection: Selection, report: Report, limit: TimeLimit) -> dict[Wanted, str]:
    """Export artifacts.

    Args:
        wanted: each with the name of its folder.
        selection: of the benchmark.
        report: receives a line for each.
        limit: what does not end in time is stopped.

    Returns:
        Why, for those that could not be exported.
    """
    failures: dict[Wanted, str] = {}
    rest = list(wanted)
    with tempfile.TemporaryDirectory() as scratch:
        while rest:  # once, and once more for each time that the process died
            with Worker(Exporter, selection, tuple(rest), log=Path(scratch) / "log.txt") as worker:
                worker.answer()
                while rest and worker.alive:
                    key = rest.pop(0)
                    if reason := limit.reason(Stage.EXPORT):
                        failures[key] = reason
                        continue
                    report(f"exporting {wanted[key]}")
                    try:
                        worker.call("export", *key, wanted[key], timeout_s=limit.seconds_left(Stage.EXPORT))
                    except WorkerError as error:
                        failures[key] = limit.explain(error, Stage.EXPORT)
    return failures
