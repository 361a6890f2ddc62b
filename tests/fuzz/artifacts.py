"""Small artifacts of four backends with their own answer, which a damaged one is held against.

ncnn's int8 files have a form of their own, and so a second artifact.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import MANIFEST
from runtimes.contract import Precision, Size, SizeRange
from runtimes.frames import Array
from runtimes.scene import Scene

if TYPE_CHECKING:
    from export.options import ExportOptions

INT8 = "ncnn-int8"
TARGETS = ("onnx", "openvino", "ncnn", INT8, "mnn")
SIZE = Size(96, 64)
LEVELS = 3
"""Grey levels of 255 that an artifact may differ by from itself under other settings."""


def export_all(folder: Path, targets: tuple[str, ...] = TARGETS) -> None:
    """Export ``folder/<target>`` for each target."""
    from export.options import ExportOptions

    floats = ExportOptions(
        targets=tuple(name for name in targets if name != INT8),
        model="random:ifrnet_s",
        sizes=SizeRange.static(SIZE),
        out=folder / "exported",
    )
    _export(floats, folder)
    if INT8 in targets:  # its scales are of the built-in weights, and of larger frames
        _export(
            replace(floats, targets=("ncnn",), model="ifrnet_s", precisions=(Precision.INT8,), max_drop=3.0), folder
        )


def _export(options: ExportOptions, folder: Path) -> None:
    from export.pipeline import Pipeline

    pipeline = Pipeline(options, lambda line: None)
    for job in pipeline.jobs():
        name = INT8 if job.precision is Precision.INT8 else job.target_name
        shutil.move(pipeline.build(job).path, folder / name)


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
