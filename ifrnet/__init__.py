"""IFRNet in PyTorch: the reference that everything else in this repository is measured against."""

from __future__ import annotations

from ifrnet.errors import CheckpointError, ModelError, SizeError, UncheckedWeightsWarning
from ifrnet.model import Estimate, IFRNet, interpolate, pair_mean
from ifrnet.random_weights import random_model
from ifrnet.variants import VARIANTS, CheckpointInfo, Variant, padded_side, size_multiple
from ifrnet.warp import resize, warp
from ifrnet.weights import BUILTIN, load_model
from runtimes.contract import Timesteps
from runtimes.errors import TimestepError

__all__ = [
    "BUILTIN",
    "VARIANTS",
    "CheckpointError",
    "CheckpointInfo",
    "Estimate",
    "IFRNet",
    "ModelError",
    "SizeError",
    "TimestepError",
    "Timesteps",
    "UncheckedWeightsWarning",
    "Variant",
    "interpolate",
    "load_model",
    "padded_side",
    "pair_mean",
    "random_model",
    "resize",
    "size_multiple",
    "warp",
]
