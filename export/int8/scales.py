"""Calibrated scales as a small JSON file, bound to the checkpoint by its sha256 and to one of the networks in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from export.int8.errors import CalibrationError
from ifrnet import CheckpointInfo
from runtimes.atomic import write_text
from runtimes.json_text import parse_json
from runtimes.printable import MAX_REASON, one_line

FORMAT = 1
SHIPPED = Path(__file__).parent / "scales"
"""One file for each built-in checkpoint."""

SMALLEST, LARGEST = 1e-30, 1e30
"""Far from what any layer has; beyond it a scale is zero or infinite in float32, and the layer says nothing."""

_LIMIT = 2**20


@dataclass(frozen=True, kw_only=True)
class Scales:
    """The int8 layers of one checkpoint.

    Attributes:
        checkpoint: name and sha256 of the weights; ``network``, where the file holds several.
        scales: layer -> scale of its input (float value of one int8 step). Layers that are not here stay in float.
        provenance: samples, method and versions, for the artifact's manifest.
    """

    checkpoint: Mapping[str, str]
    scales: Mapping[str, float]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write under a temporary name, then rename."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, allow_nan=False)
        write_text(path, text + "\n")


def read_scales(path: Path) -> Scales:
    """Read and check a file.

    Raises:
        CalibrationError: missing, not one of ours, or with values that are no scales.
    """
    if not path.is_file():
        raise CalibrationError(f"{path}: no such file; make it with python -m calibration scales --out {path}")
    if path.stat().st_size > _LIMIT:
        raise CalibrationError(f"{path} has {path.stat().st_size} bytes; a file of scales is far smaller")
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}, this version reads {FORMAT}")
        scales = {str(name): float(value) for name, value in data["scales"].items()}
        if not scales or not all(SMALLEST <= value <= LARGEST for value in scales.values()):  # false for NaN too
            raise ValueError(f"scales must be numbers from {SMALLEST:g} to {LARGEST:g}, at least one")
        checkpoint = {key: str(data["checkpoint"][key]) for key in ("name", "sha256")}
        if "network" in data["checkpoint"]:
            checkpoint["network"] = str(data["checkpoint"]["network"])
        return Scales(checkpoint=checkpoint, scales=scales, provenance=dict(data["provenance"]))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CalibrationError(
            f"{path} is no file of calibrated scales ({type(error).__name__}: {one_line(error, MAX_REASON)}); make it "
            f"with python -m calibration scales --out {path}"
        ) from error


def scales_for(info: CheckpointInfo, path: Path | None) -> Scales:
    """The scales of a checkpoint: from ``path``, or the shipped ones.

    Raises:
        CalibrationError: none are shipped for it, or those in ``path`` are of other weights.
    """
    if path is not None:
        found = read_scales(path)
        if found.checkpoint["sha256"] != info.sha256:
            raise CalibrationError(
                f"{path} holds scales of {found.checkpoint['name']} (sha256 {found.checkpoint['sha256'][:12]}), the "
                f"model is {info.name} ({info.sha256[:12]}): {_command(info)}"
            )
        if (network := found.checkpoint.get("network", "")) != info.network:
            raise CalibrationError(
                f"{path} holds scales of {one_line(network, 80) or 'an unnamed one'} of the networks in {info.source}, "
                f"the model is {info.network}: {_command(info)}"
            )
        return found
    for candidate in sorted(SHIPPED.glob("*.json")):
        found = read_scales(candidate)
        if found.checkpoint["sha256"] == info.sha256:
            return found
    raise CalibrationError(f"no INT8 scales are shipped for {info.name} (sha256 {info.sha256[:12]}): {_command(info)}")


def _command(info: CheckpointInfo) -> str:
    weights = f" --weights {info.network}" if info.network else ""
    return (
        f"run python -m calibration scales --model <{info.source}>{weights} --out {info.name}.int8.json, then export "
        f"with --calibration {info.name}.int8.json"
    )
