"""The state of a run on disk: everything needed to go on at the next step as if nothing had happened."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ifrnet.training.errors import TrainingError
from ifrnet.training.options import TrainOptions
from runtimes.atomic import write_bytes

FORMAT = 1
FILE = "state.pt"


@dataclass(kw_only=True)
class State:
    """A run between two steps.

    Attributes:
        step: optimiser steps done.
        options: :meth:`TrainOptions.as_record` of the run.
        model, average: state dicts; ``average`` is the running average of the weights, None where there is none.
        optimiser: AdamW's state dict.
        rng: PyTorch's generator state. Samples need none: each is a function of the seed and its index.
        seconds: wall time spent training so far.
        parent: what the initial weights were, for the provenance; None for random ones.
    """

    step: int
    options: dict[str, Any]
    model: dict[str, Tensor]
    average: dict[str, Tensor] | None
    optimiser: dict[str, Any]
    rng: Tensor
    seconds: float
    parent: dict[str, Any] | None

    def weights(self) -> dict[str, Tensor]:
        """The weights that count: the average where the run keeps one."""
        return dict(self.model if self.average is None else self.average)

    def spoilt(self) -> str:
        """The first of the weights, or of their average, that holds NaN or infinity; empty where all are finite."""
        pairs = (*self.model.items(), *(self.average or {}).items())
        return next((name for name, tensor in pairs if not tensor.isfinite().all()), "")


def save(state: State, folder: Path) -> Path:
    """Write ``folder``/state.pt; a run that is cut off while writing keeps the state before.

    Raises:
        TrainingError: the weights are not finite, as after an update that was too large.
        OSError: the folder cannot be written to, or the disk is full.
    """
    path = folder / FILE
    if name := state.spoilt():
        raise TrainingError(
            f"{name} is not finite after step {state.step}, so this state is not written to {path}: go on from the one "
            "before, or begin anew, with a lower learning rate or a clipped gradient"
        )
    folder.mkdir(parents=True, exist_ok=True)
    content = BytesIO()  # on a full disk PyTorch's own writer raises RuntimeError
    torch.save({"format": FORMAT, **vars(state)}, content)
    write_bytes(path, content.getvalue())
    return path


def load(path: Path) -> State:
    """Read a state.

    Raises:
        TrainingError: the file is not a state of this version, or its weights are not finite.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"{path} does not exist; a run writes it every few minutes") from error
    except Exception as error:  # torch.load raises whatever the damaged part of the file leads to
        raise TrainingError(f"{path} is not a readable training state: {error}".splitlines()[0]) from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise TrainingError(f"{path} is not a training state of format {FORMAT}; start a new run folder")
    try:
        state = State(**content)
        name = state.spoilt()
    except (TypeError, AttributeError) as error:
        raise TrainingError(f"{path} is not a whole training state ({error}); start a new run folder") from error
    if name:
        raise TrainingError(
            f"{path} holds NaN or infinity in {name} at step {state.step}; expected finite weights: the training "
            "diverged, take an earlier state"
        )
    return state


def find(path: Path) -> State | None:
    """The state in a file; None where the file is something else, a checkpoint or a built-in name.

    Raises:
        TrainingError: it is named like a state and is none.
    """
    if path.name == FILE:
        return load(path)
    if path.suffix != ".pt" or not path.is_file():
        return None
    try:
        return load(path)
    except TrainingError:
        return None


def check_resumable(state: State, options: dict[str, Any], path: Path) -> None:
    """Refuse to go on with other options than the run began with; only ``steps`` may change.

    Raises:
        TrainingError: naming the first option that differs.
    """
    began = _completed(state.options, TrainOptions().as_record())
    for key, value in options.items():
        if key != "steps" and began[key] != value:
            raise TrainingError(
                f"{path} is a run with {key} = {began[key]}, asked for {value}: use another run folder, "
                "or --start-from to begin a new run from its weights"
            )


def _completed(stored: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Stored options, also nested ones, with those that came later: they had the effect of their defaults."""
    completed = {**defaults, **stored}
    for key, value in defaults.items():
        if isinstance(value, dict):
            completed[key] = {**value, **completed[key]}
    return completed
