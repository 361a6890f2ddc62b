"""Reference flows behind one small interface; OpenCV's DIS where nothing better is installed."""

from __future__ import annotations

import enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class FlowEstimator(Protocol):
    """Estimates where the pixels of one frame are in another."""

    name: str

    def estimate(self, source: NDArray[np.uint8], target: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W, 3) uint8 RGB twice -> (H, W, 2) float32: source(x) is found at target(x + flow), pixels, x first."""
        ...


class DisPreset(enum.Enum):
    """OpenCV's speed settings of DIS."""

    ULTRAFAST = 0
    FAST = 1
    MEDIUM = 2


class Dis:
    """Dense inverse search (Kroeger et al., ECCV 2016) as OpenCV implements it, on gray levels."""

    def __init__(self, preset: DisPreset = DisPreset.MEDIUM) -> None:
        self.name = f"opencv-dis-{preset.name.lower()}"
        self.preset = preset
        self._dis: Any = None  # made on first use: OpenCV's object cannot be sent to a worker process

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "preset": self.preset, "_dis": None}

    def estimate(self, source: NDArray[np.uint8], target: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`FlowEstimator`."""
        import cv2  # an optional package: the rest of the training works without it

        if self._dis is None:
            self._dis = cv2.DISOpticalFlow_create(self.preset.value)  # type: ignore[attr-defined]
        grays = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (source, target))
        flow: NDArray[np.float32] = self._dis.calc(*grays, None)
        return flow


PERCENTILE = 95
"""Of the flow's length over a frame: what counts as the motion of a pair. A mean would be that of the background."""


def motion(first: NDArray[np.uint8], second: NDArray[np.uint8], estimator: FlowEstimator) -> float:
    """How far things move from one frame (H, W, 3) to another: a :data:`PERCENTILE` of the flow's length, in pixels."""
    flow = estimator.estimate(first, second)  # (H, W, 2)
    return float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), PERCENTILE))


FLOW_ESTIMATORS = {"dis": Dis}
"""Name -> estimator, for the command line."""
