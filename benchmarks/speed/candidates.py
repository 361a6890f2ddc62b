"""The rows of a speed benchmark: every target in every precision it has, on every device of its backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.options import Selection
from export.errors import ExportError
from export.options import ExportOptions
from export.targets import TARGETS, target
from ifrnet.variants import CheckpointInfo
from runtimes.artifact import Manifest, open_artifact
from runtimes.contract import Precision, SizeRange, Verdict
from runtimes.device import Device
from runtimes.errors import RuntimesError
from runtimes.registry import backend

Report = Callable[[str], None]
"""Receives one short line when a stage begins."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One row before it is measured.

    Attributes:
        target: name in ``export.targets.TARGETS``.
        backend: name in ``runtimes.registry.BACKENDS``.
        device: as ``runtimes.load`` takes it.
        artifact: the folder, once it exists.
        artifact_mb: size of the model files.
        verdict: of the parity report, on this device.
        reason: why the row cannot be measured, or what the verdict says; empty when there is nothing to say.
        runnable: whether it can be measured.
    """

    target: str
    backend: str
    precision: Precision
    device: str
    runnable: bool
    artifact: Path | None = None
    artifact_mb: float | None = None
    verdict: Verdict = Verdict.NOT_RUN
    reason: str = ""


def candidates(selection: Selection) -> list[Candidate]:
    """All rows, with the reason where one cannot run; nothing is exported yet."""
    rows = []
    for name in TARGETS:
        module = target(name)
        if module.BACKEND not in selection.backends:
            continue
        for precision in selection.precisions or tuple(module.TOLERANCES):
            devices = list(_devices(module.BACKEND, selection.devices))
            if precision not in module.TOLERANCES:
                reason = f"target {name} has no {precision}; it has {', '.join(module.TOLERANCES)}"
                devices = [Device(name=backend(module.BACKEND).DEFAULT_DEVICE, reason=reason)]
            rows += [
                Candidate(
                    target=name,
                    backend=module.BACKEND,
                    precision=precision,
                    device=device.name,
                    runnable=not device.reason,
                    reason=device.reason,
                )
                for device in devices
            ]
    return rows


def _devices(name: str, wanted: tuple[str, ...] | None) -> Iterator[Device]:
    """Devices of a backend, those that cannot be used with the reason; without duplicates of a reason."""
    module = backend(name)
    if reason := module.missing():
        yield Device(name=module.DEFAULT_DEVICE, reason=reason)
        return
    for device in module.devices():
        if wanted is not None and device.name not in wanted:
            continue
        if device.software and wanted is None:
            reason = f"{device.description} is a software driver: add --devices {device.name} to measure it"
            yield replace(device, reason=reason)
        else:
            yield device


def provide(rows: list[Candidate], selection: Selection, info: CheckpointInfo, report: Report) -> list[Candidate]:
    """Give each row its artifact: the one at hand, or a new one.

    Raises:
        BenchmarkError: an artifact of that name was made from other weights.
    """
    wanted = list(dict.fromkeys((row.target, row.precision) for row in rows if row.runnable))
    missing = [key for key in wanted if not (selection.artifacts / _name(selection, info, *key)).exists()]
    failures = _export(missing, selection, info, report)
    return [_provided(row, selection, info, failures) for row in rows]


def _options(selection: Selection, targets: tuple[str, ...], precisions: tuple[Precision, ...]) -> ExportOptions:
    return ExportOptions(
        targets=targets,
        precisions=precisions,
        model=selection.model,
        sizes=SizeRange.static(selection.size),
        out=selection.artifacts,
        verify_devices=selection.devices or (),  # software devices are verified only when named, like measured
    )


def _name(selection: Selection, info: CheckpointInfo, target_name: str, precision: Precision) -> str:
    return _options(selection, (target_name,), (precision,)).artifact_name(info.name, target_name, precision)


def _export(
    wanted: list[tuple[str, Precision]], selection: Selection, info: CheckpointInfo, report: Report
) -> dict[tuple[str, Precision], str]:
    """Build what is missing; returns why for what could not be built."""
    if not wanted:
        return {}
    from export.pipeline import Job, Pipeline

    targets, precisions = (tuple(dict.fromkeys(column)) for column in zip(*wanted, strict=True))
    options = _options(selection, targets, precisions)
    pipeline = Pipeline(options, report)  # one for all: it shares traced graphs and PyTorch's outputs
    failures: dict[tuple[str, Precision], str] = {}
    for key in wanted:
        name, precision = key
        module = target(name)
        try:
            if reason := module.missing():
                raise ExportError(reason)
            module.check(options)
            folder = options.artifact_name(info.name, name, precision)
            pipeline.build(Job(name=folder, target_name=name, target=module, precision=precision, options=options))
        except RuntimesError as error:
            failures[key] = f"cannot be exported: {error}"
    return failures


def _provided(
    row: Candidate, selection: Selection, info: CheckpointInfo, failures: dict[tuple[str, Precision], str]
) -> Candidate:
    if not row.runnable:
        return row
    if reason := failures.get((row.target, row.precision)):
        return replace(row, runnable=False, reason=reason)
    folder = selection.artifacts / _name(selection, info, row.target, row.precision)
    manifest = open_artifact(folder).manifest
    _check(manifest, folder, selection, info)
    record = manifest.parity_on(row.device)
    return replace(
        row,
        artifact=folder,
        artifact_mb=sum(entry["bytes"] for entry in manifest.files.values()) / 1e6,
        verdict=record.verdict,
        reason=record.reason,
    )


def _check(manifest: Manifest, folder: Path, selection: Selection, info: CheckpointInfo) -> None:
    if manifest.checkpoint.get("sha256") != info.sha256:
        raise BenchmarkError(
            f"{folder} was exported from weights with sha256 {str(manifest.checkpoint.get('sha256'))[:12]}, and "
            f"{selection.model} has {info.sha256[:12]}: remove it, or give another folder as --artifacts"
        )
