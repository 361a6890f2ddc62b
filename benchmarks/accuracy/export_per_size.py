"""A target in one precision as a runtime for frames of any size: an artifact is exported for each size that comes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.artifact_check import check_artifact
from benchmarks.errors import BenchmarkError
from benchmarks.speed.without_artifact import manifest_without_files
from export.options import ExportOptions
from export.targets import TARGETS, target
from runtimes.artifact import read_manifest
from runtimes.base import Runtime
from runtimes.contract import Precision, Size, SizeRange
from runtimes.errors import ParityNotRunWarning
from runtimes.frames import Array
from runtimes.registry import backend, load
from runtimes.tuning import Tuning


class ExportPerSize(Runtime):
    """Artifacts of one model, target and precision; the one of the last size stays loaded.

    Args:
        what: ``TARGET:PRECISION``.
        model: built-in name or checkpoint file.
        scale: the network runs on frames resized by this.
        device: where they run; None for the backend's default.
        threads: of the CPU.
        folder: holds the artifacts; those that are there are used.
        report: receives one short line when a stage of an export begins.

    Raises:
        BenchmarkError: no such target or precision, or it cannot run here.
    """

    def __init__(
        self,
        what: str,
        model: str,
        *,
        scale: float,
        device: str | None,
        threads: int,
        folder: Path,
        report: Callable[[str], None],
    ) -> None:
        name, _, precision = what.partition(":")
        if name not in TARGETS or precision not in target(name).TOLERANCES:
            known = (f"{t}:{p}" for t in TARGETS for p in target(t).TOLERANCES)
            raise BenchmarkError(f"--build {what}: expected one of {', '.join(known)}")
        module = target(name)
        if reason := module.missing() or backend(module.BACKEND).missing():
            raise BenchmarkError(f"--build {what}: {reason}")
        from ifrnet import load_model

        loaded = load_model(model)
        info = loaded.info
        assert info is not None
        self._options = ExportOptions(
            targets=(name,), precisions=(Precision(precision),), model=model, scale=scale, out=folder
        )
        self._report, self._info = report, info
        self._loaded: dict[Size, Runtime] = {}
        self._device = device or backend(module.BACKEND).DEFAULT_DEVICE
        manifest = manifest_without_files(
            f"{info.name}-{name}-{precision}",
            backend=module.BACKEND,
            timesteps=info.timesteps,
            variant=loaded.variant.name,
            sha256=info.sha256,
            scale=scale,
        )
        super().__init__(
            manifest, backend=module.BACKEND, device=self._device, arithmetic=precision, tuning=Tuning(threads=threads)
        )

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        size = Size(img0.shape[3], img0.shape[2])
        if size not in self._loaded:
            self._close()
            self._loaded[size] = self._open(size)
        return self._loaded[size].infer(img0, img1, t)

    def _open(self, size: Size) -> Runtime:
        """The artifact for one size, exported where it is not there.

        Raises:
            BenchmarkError: there is one of other weights, or of a version before.
        """
        options = replace(self._options, sizes=SizeRange.static(size))
        (name,), (precision,) = options.targets, options.precisions
        folder = options.out / options.artifact_name(self._info.name, name, precision)
        if not folder.exists():
            from export.pipeline import Pipeline

            pipeline = Pipeline(options, self._report)
            for job in pipeline.jobs():
                pipeline.build(job)
        check_artifact(read_manifest(folder), folder, self._info)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ParityNotRunWarning)
            return load(folder, device=self._device, threads=self.spec.threads)

    def _close(self) -> None:
        for runtime in self._loaded.values():
            runtime.close()
        self._loaded.clear()
