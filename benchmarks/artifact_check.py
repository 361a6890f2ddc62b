"""Whether an artifact that was exported before is what would be exported now."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from benchmarks.errors import BenchmarkError
from export.int8.errors import CalibrationError
from export.int8.scales import scales_for
from ifrnet.variants import CheckpointInfo
from runtimes.artifact import Manifest


def check_artifact(manifest: Manifest, folder: Path, info: CheckpointInfo) -> None:
    """Refuse an artifact of other weights, or with layers in int8 that the shipped scales of ``info`` leave in float.

    Raises:
        BenchmarkError: it is such a one.
    """
    other = f"remove {folder}, or give another folder as --artifacts"
    found = str(manifest.checkpoint.get("sha256"))
    if found != info.sha256:
        there = f"{folder} was exported from weights with sha256 {found[:12]}"
        raise BenchmarkError(f"{there}, and {info.name} has {info.sha256[:12]}: {other}")
    with suppress(CalibrationError):  # own weights: no scales are shipped
        if more := sorted(set(manifest.details.get("int8_layers", ())) - set(scales_for(info, None).scales)):
            raise BenchmarkError(
                f"{folder} has in int8 {more[0]} and {len(more) - 1} more layers that are float by now: {other}"
            )
