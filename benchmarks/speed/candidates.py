"""The rows of a speed benchmark: every target in every precision it has, on every device of its backend."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.artifact_check import check_artifact
from benchmarks.errors import BenchmarkError
from benchmarks.options import Selection
from benchmarks.speed.exporting import Report, Wanted, export_all, export_options
from benchmarks.speed.time_limit import TimeLimit
from export.targets import TARGETS, Target, target
from ifrnet.variants import CheckpointInfo
from runtimes.artifact import open_artifact
from runtimes.contract import Precision, Verdict
from runtimes.device import Device
from runtimes.registry import Backend, runners

NO_LIMIT = TimeLimit()

ELSEWHERE = ("web",)
"""Targets without rows: their files are for browsers, and on ONNX Runtime they would be the rows of ``onnx`` again."""


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
    """All rows, with the reason where one cannot run; nothing is exported yet.

    Raises:
        BenchmarkError: a device is named that neither these backends nor PyTorch have.
    """
    rows: list[Candidate] = []
    for name in (name for name in TARGETS if name not in ELSEWHERE):
        module = target(name)
        for runner in runners(module.BACKEND):
            if runner.ABOUT.name in selection.backends and (
                runner.ABOUT.name == module.BACKEND or not runner.missing()
            ):
                rows += _rows(name, module, runner, selection)
    there = dict.fromkeys(("cpu", *torch_gpus(), *(row.device for row in rows)))
    for device in selection.devices or ():
        if device not in there:
            raise BenchmarkError(
                f"--devices {device}: none of pytorch, {', '.join(selection.backends)} has a device of that name; "
                "python -m runtimes devices lists those of this machine"
            )
    return rows


def torch_gpus() -> list[str]:
    """GPUs that PyTorch runs on."""
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def _rows(name: str, module: Target, runner: Backend, selection: Selection) -> Iterator[Candidate]:
    """Those of one target on one backend that runs its artifacts."""
    for precision in selection.precisions or tuple(module.TOLERANCES):
        devices = list(_devices(runner, selection.devices))
        if precision not in module.TOLERANCES:
            reason = f"target {name} has no {precision}; it has {', '.join(module.TOLERANCES)}"
            devices = [Device(name=runner.DEFAULT_DEVICE, reason=reason)]
        for device in devices:
            yield Candidate(
                target=name,
                backend=runner.ABOUT.name,
                precision=precision,
                device=device.name,
                runnable=not device.reason,
                reason=device.reason,
            )


def _devices(module: Backend, wanted: tuple[str, ...] | None) -> Iterator[Device]:
    """Devices of a backend, those that cannot be used with the reason; without duplicates of a reason."""
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


def provide(
    rows: list[Candidate], selection: Selection, info: CheckpointInfo, report: Report, limit: TimeLimit = NO_LIMIT
) -> list[Candidate]:
    """Give each row its artifact: the one at hand, or a new one.

    Args:
        rows: in the order in which they are exported.
        selection: of the benchmark.
        info: of the model.
        report: receives one short line when a stage begins.
        limit: what is not exported in time stays without an artifact.

    Raises:
        BenchmarkError: an artifact of that name is of other weights, or of a version before.
    """
    folders = {
        (row.target, row.precision): _name(selection, info, row.target, row.precision) for row in rows if row.runnable
    }
    missing = {key: name for key, name in folders.items() if not (selection.artifacts / name).exists()}
    failures = export_all(missing, selection, report, limit)
    return [_provided(row, selection, info, failures) for row in rows]


def _name(selection: Selection, info: CheckpointInfo, target_name: str, precision: Precision) -> str:
    return export_options(selection, (target_name,), (precision,)).artifact_name(info.name, target_name, precision)


def _provided(row: Candidate, selection: Selection, info: CheckpointInfo, failures: dict[Wanted, str]) -> Candidate:
    if not row.runnable:
        return row
    if reason := failures.get((row.target, row.precision)):
        return replace(row, runnable=False, reason=reason)
    folder = selection.artifacts / _name(selection, info, row.target, row.precision)
    manifest = open_artifact(folder).manifest
    check_artifact(manifest, folder, info)
    record = manifest.parity_on(row.device)
    return replace(
        row,
        artifact=folder,
        artifact_mb=sum(entry["bytes"] for entry in manifest.files.values()) / 1e6,
        verdict=record.verdict,
        reason=record.reason,
    )
