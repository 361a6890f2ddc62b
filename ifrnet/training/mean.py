"""The weighted mean of a run's weights and the weights that the run began from.

It often keeps most of what the run gained and gives back most of what it lost (Wortsman et al., Robust fine-tuning of
zero-shot models, CVPR 2022). Weights that were not trained from each other have no useful mean.
"""

from __future__ import annotations

import math
from pathlib import Path

from ifrnet.training import state as states
from ifrnet.training.errors import TrainingError
from ifrnet.weights import load_model
from runtimes.contract import Timesteps


def mean_state(path: Path, other: str, share: float) -> states.State:
    """A state of (1 - ``share``) of a run's weights and ``share`` of others; it can be exported and started from.

    Args:
        path: the run's state.pt; its average counts where it has one.
        other: built-in name or checkpoint, as for :func:`ifrnet.load_model`.
        share: in (0, 1).

    Raises:
        TrainingError: no such state, another variant, or a share outside (0, 1).
        CheckpointError: no such checkpoint.
    """
    if not (math.isfinite(share) and 0.0 < share < 1.0):
        raise TrainingError(f"--share {share}: expected a number between 0 and 1, for example 0.4")
    state, model = states.load(path), load_model(other)
    assert model.info is not None
    if model.variant.name != state.options["variant"]:
        raise TrainingError(
            f"{other} holds {model.variant.name}, {path} {state.options['variant']}: expected one variant"
        )
    others = model.state_dict()
    mean = {key: (1.0 - share) * value + share * others[key] for key, value in state.weights().items()}
    told = {"checkpoint": model.info.name, "sha256": model.info.sha256, "share": share}
    if model.info.timesteps is Timesteps.MIDDLE:  # then the mean serves no other time either
        told["timesteps"] = [0.5]
    return states.State(
        step=state.step,
        options=state.options,
        model=mean,
        average=None,
        optimiser={},
        rng=state.rng,
        seconds=state.seconds,
        parent={"mean_with": told, "parent": state.parent},
    )
