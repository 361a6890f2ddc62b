"""What runs the toy target's artifacts."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact
from runtimes.base import Runtime
from runtimes.device import About, Device
from runtimes.frames import Array
from runtimes.tuning import Choices, Tuning

ABOUT = About(name="toy", title="Toy", modules=("torch",), distributions=("torch",), extra="export", colour="#000000")

DEFAULT_DEVICE = "cpu"

SETTINGS: Choices = {}


def missing() -> str:
    """Why it cannot be used here; empty when it can."""
    return "" if importlib.util.find_spec("torch") else "torch is not installed: pip install 'ifrnet-export[export]'"


def devices() -> list[Device]:
    """The CPU."""
    return [Device(name="cpu", description="the toy")]


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Load ``model.pt2``."""
    return ToyRuntime(artifact, device, tuning)


class ToyRuntime(Runtime):
    """An exported program."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        import torch

        self._program = torch.export.load(io.BytesIO(artifact.data(".pt2"))).module()
        super().__init__(artifact.manifest, backend="toy", device=device, arithmetic="fp32", tuning=tuning)

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        import torch

        output: NDArray[np.float32] = self._program(*map(torch.from_numpy, (img0, img1, t))).numpy()
        return output
