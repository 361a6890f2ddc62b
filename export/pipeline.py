"""The order of the stages: source, compile, verify, write the artifact."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from export.declarations import Compiled
from export.errors import ExportError
from export.int8.stages import Int8
from export.options import ExportOptions
from export.proof import Proofs
from export.source import NO_SCALES, Source
from export.targets import Target, check_precisions, target
from export.verify import Reference, overall, verify, worst
from ifrnet import load_model
from runtimes.artifact import (
    MANIFEST,
    DeviceParity,
    Manifest,
    describe_files,
    read_files,
    read_manifest,
)
from runtimes.contract import Precision, Verdict
from runtimes.environment import package_versions
from runtimes.errors import ArtifactError, UsageError
from runtimes.proof import FILE as PROOF
from runtimes.registry import runners
from runtimes.staged_folder import check_destination, staged_folder

Report = Callable[[str], None]
"""Receives one short line when a stage begins."""

NOT_CARRIED = ("evaluation", "started_from")
"""What a manifest leaves to the provenance file of its checkpoint, which the sha256 names: 1,800 lines of 2,100."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One artifact of a run, for the table at the end. ``bytes`` counts the model files."""

    target: str
    precision: Precision
    path: Path
    bytes: int
    seconds: float
    parity: tuple[DeviceParity, ...]

    @property
    def verdict(self) -> Verdict:
        """Over all devices."""
        return overall(self.parity)

    @property
    def worst(self) -> Mapping[str, float]:
        """Largest error and smallest PSNR, or empty."""
        return worst(self.parity)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One artifact to build."""

    name: str
    target_name: str
    target: Target
    precision: Precision


def check_options(options: ExportOptions) -> None:
    """Refuse what cannot be built, before anything heavy is loaded.

    Raises:
        ExportError: an option or a precision that a target does not have.
        UsageError: a folder that cannot be written to, scales that none of the targets takes, or a device to verify on
            that none of them has here, naming those there are.
    """
    check_folder(options.out)
    for name in options.targets:
        target(name).check(options)
        check_precisions(name, options)
    graphs = {target(name).graph_precision(precision) for name in options.targets for precision in options.precisions}
    if options.calibration is not None and Precision.INT8 not in graphs:
        raise UsageError(
            f"--calibration {options.calibration}: {', '.join(options.targets)} needs no scales, leave it out"
        )
    if not options.verify_devices:
        return
    backends = [module for name in options.targets for module in runners(target(name).BACKEND)]
    known = dict.fromkeys(d.name for b in backends if not b.missing() for d in b.devices() if not d.reason)
    for name in options.verify_devices:
        if name not in known:
            raise UsageError(f"no device {name!r} to verify on here; the targets asked for have {', '.join(known)}")


def check_folder(out: Path) -> None:
    """Refuse a folder that cannot be made or written to; the nearest folder that exists is tried.

    Raises:
        UsageError: naming what is in the way.
    """
    nearest = out.absolute()
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UsageError(f"--out {out}: {nearest} is no folder: pass another --out")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UsageError(
            f"--out {out}: {nearest} cannot be written to ({error.strerror}): pass another --out"
        ) from error


class Pipeline:
    """Builds the artifacts of one run; sources and reference outputs are shared between targets."""

    def __init__(self, options: ExportOptions, report: Report) -> None:
        self._options, self._report = options, report
        report(f"loading {options.model}")
        self._model = load_model(options.model, weights=options.weights)
        assert self._model.info is not None
        self._info = self._model.info
        self._timesteps = self._info.timesteps
        self._reference = Reference(self._model, self._timesteps, options.scale)
        self._proofs = Proofs(self._reference)
        self._sources: dict[tuple[object, ...], Source] = {}

    @cached_property
    def _int8(self) -> Int8:
        return Int8(self._model, self._options)

    def jobs(self) -> list[Job]:
        """Everything to build: every target in every precision, checked before any work is done.

        Raises:
            ExportError, UsageError: see :func:`check_options`; or an artifact that exists.
            CalibrationError: INT8 is asked for of a target that quantises activations, and there are no scales for this
                model.
        """
        check_options(self._options)
        jobs = []
        for name in self._options.targets:
            module = target(name)
            for precision in self._options.precisions:
                artifact = self._options.artifact_name(self._info.name, name, precision)
                check_destination(self._options.out / artifact, force=self._options.force)
                if module.graph_precision(precision) is Precision.INT8:
                    _ = self._int8.scales
                jobs.append(Job(name=artifact, target_name=name, target=module, precision=precision))
        return jobs

    def build(self, job: Job) -> Outcome:
        """Build, verify and write one artifact.

        Raises:
            ExportError: a stage failed, or what the checkpoint tells of itself does not fit a manifest.
            SentinelError: a built graph is not the network.
        """
        start = time.perf_counter()
        source = self._source(job)
        final = self._options.out / job.name
        with staged_folder(final, force=self._options.force) as folder:
            self._report(f"{job.name}: compiling")
            compiled = job.target.compile(source, folder, job.precision, self._options)
            if source.precision is Precision.INT8:
                compiled = self._int8.check_built(job.target_name, compiled)
            seconds = time.perf_counter() - start
            manifest = self._manifest(job, compiled, folder)
            self._report(f"{job.name}: comparing with PyTorch")
            tolerance = job.target.TOLERANCES[job.precision]
            parity = verify(
                read_files(folder, manifest), self._reference, tolerance, extra_devices=self._options.verify_devices
            )
            names = tuple(manifest.files)  # not the caches of who ran it, which change
            compared = [record.verdict for record in parity]
            if job.precision is Precision.INT8:
                self._report(f"{job.name}: measuring what INT8 loses")
                parity, quality = self._int8.judge(read_files(folder, manifest), parity, compiled.simulation)
                manifest = replace(manifest, details={**manifest.details, "quality": quality})
            # The proof compares with PyTorch, and would pass where INT8 lost too much: no proof then.
            if [record.verdict for record in parity] == compared:
                proof = self._proofs.make(self._options.sizes, tolerance, job.precision, parity)
                (folder / PROOF).write_bytes(proof)
                names += (PROOF,)
            manifest = replace(manifest, parity=parity, files=describe_files(folder, names))
            (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
            self._check_manifest(job, folder)
        return Outcome(
            target=job.target_name,
            precision=job.precision,
            path=final,
            bytes=sum(entry["bytes"] for entry in manifest.files.values()),
            seconds=seconds,
            parity=parity,
        )

    def _source(self, job: Job) -> Source:
        """The source of a job; one for all that want the same form of the network."""
        rewrites = job.target.rewrites(job.precision)
        precision = job.target.graph_precision(job.precision)
        key = (rewrites, precision)
        if key not in self._sources:
            self._sources[key] = Source(
                self._model,
                rewrites,
                precision,
                sizes=self._options.sizes,
                scale=self._options.scale,
                scales=self._int8.scales if precision is Precision.INT8 else NO_SCALES,
                report=self._report,
            )
        return self._sources[key]

    def _check_manifest(self, job: Job, folder: Path) -> None:
        """Raises ExportError where no reader takes what was written: a checkpoint may tell anything of itself."""
        try:
            read_manifest(folder)
        except ArtifactError as error:
            raise ExportError(
                f"no reader would take the manifest of {job.name} ({error.__cause__ or error}): shorten what "
                f"{self._info.source}, or the JSON file beside it, tells of it"
            ) from error

    def _manifest(self, job: Job, compiled: Compiled, folder: Path) -> Manifest:
        info = self._info
        checkpoint: dict[str, Any] = {
            "name": info.name,
            "source": info.source,
            "format": info.format,
            "sha256": info.sha256,
            "provenance": {key: value for key, value in info.provenance.items() if key not in NOT_CARRIED},
        }
        return Manifest(
            name=job.name,
            target=job.target_name,
            backend=job.target.BACKEND,
            variant=self._model.variant.name,
            checkpoint=checkpoint,
            timesteps=self._timesteps,
            precision=job.precision,
            sizes=self._options.sizes,
            scale=self._options.scale,
            rewrites=job.target.rewrites(job.precision) if compiled.rewrites is None else compiled.rewrites,
            tools=package_versions(("ifrnet-export", "torch", "onnxscript", "onnxsim", *compiled.tools)),
            details=compiled.details,
            files=describe_files(folder),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
