"""Small artifacts of four backends with their own answer, which a damaged one is held against."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import MANIFEST
from runtimes.contract import Size, SizeRange
from runtimes.frames import Array
from runtimes.scene import Scene

TARGETS = ("onnx", "openvino", "ncnn", "mnn")
SIZE = Size(96, 64)
LEVELS = 3
"""Grey levels of 255 that an artifact in float32 may differ by from itself under other settings."""


def export_all(folder: Path, targets: tuple[str, ...] = TARGETS) -> None:
    """Export ``folder/<target>`` for each target."""
    from export.options import ExportOptions
    from export.pipeline import Pipeline

    options = ExportOptions(
        targets=targets, model="random:ifrnet_s", sizes=SizeRange.static(SIZE), out=folder / "exported"
    )
    pipeline = Pipeline(options, lambda line: None)
    for job in pipeline.jobs():
        shutil.move(pipeline.build(job).path, folder / job.target_name)


def copy(artifact: Path, folder: Path) -> Path:
    """A copy to damage, without what was proved of it."""
    return Path(shutil.copytree(artifact, folder / "artifact"))


def correct_sha256(artifact: Path) -> None:
    """Let the manifest state what its files are now."""
    path = artifact / MANIFEST
    data = json.loads(path.read_text(encoding="utf-8"))
    for name in data["files"]:
        content = (artifact / name).read_bytes()
        data["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    path.write_text(json.dumps(data), encoding="utf-8")


def pair(size: Size = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two moving frames."""
    return Scene.of(size, seed=3).frames()


def answer(artifact: Path, **options: Any) -> Array:
    """The frame in the middle, of a whole artifact."""
    import runtimes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with runtimes.load(artifact, device="cpu", threads=1, **options) as runtime:
            return runtime.interpolate(*pair(runtime.spec.sizes.typical), 0.5).copy()


def differs(found: Array, expected: Array) -> str:
    """What is wrong with a frame; empty where nothing is."""
    if found.shape != expected.shape:
        return f"a frame of {found.shape}, not {expected.shape}"
    worst = int(np.abs(found.astype(int) - expected).max())
    return f"differs by {worst} of 255" if worst > LEVELS else ""
