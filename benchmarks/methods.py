"""What is measured for accuracy: a network, and the classical ways it has to beat."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import Sample

Prediction = NDArray[np.float32]
"""(1, 3, H, W) in [0, 1]."""

Method = Callable[[Sample], Prediction]


def as_tensor(frame: NDArray[np.uint8]) -> Prediction:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1]."""
    planes: Prediction = np.ascontiguousarray(frame.transpose(2, 0, 1)[None]).astype(np.float32) / np.float32(255.0)
    return planes


def average(sample: Sample) -> Prediction:
    """Both frames blended by time: what no motion at all would give."""
    first, last = as_tensor(sample.frame0), as_tensor(sample.frame1)
    return np.float32(1.0 - sample.t) * first + np.float32(sample.t) * last


class DisInterpolation:
    """OpenCV's DIS flow in both directions, frames warped to time t and blended by time.

    The flows from time t are the usual combination of the two flows between the frames (Jiang et al., Super SloMo,
    CVPR 2018, equation 4), which assumes that motion is locally smooth.
    """

    def __init__(self) -> None:
        from ifrnet.training.flow import Dis

        self._estimator = Dis()

    def __call__(self, sample: Sample) -> Prediction:
        """See :data:`Method`."""
        import cv2

        t = sample.t
        forward = self._estimator.estimate(sample.frame0, sample.frame1)  # (H, W, 2)
        backward = self._estimator.estimate(sample.frame1, sample.frame0)
        flow0 = -(1.0 - t) * t * forward + t * t * backward
        flow1 = (1.0 - t) * (1.0 - t) * forward - t * (1.0 - t) * backward
        height, width = forward.shape[:2]
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))

        def warped(frame: NDArray[np.uint8], flow: NDArray[np.float32]) -> NDArray[Any]:
            places = (x + flow[..., 0]).astype(np.float32), (y + flow[..., 1]).astype(np.float32)
            image = frame.astype(np.float32)
            return cv2.remap(image, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

        blend = (1.0 - t) * warped(sample.frame0, flow0) + t * warped(sample.frame1, flow1)  # (H, W, 3)
        planes: Prediction = (blend.transpose(2, 0, 1)[None] / 255.0).astype(np.float32)
        return planes


class Network:
    """IFRNet in PyTorch, float32: the reference itself."""

    def __init__(self, name: str, threads: int) -> None:
        import torch

        from ifrnet import load_model

        torch.set_num_threads(threads)
        self.model = load_model(name)

    def __call__(self, sample: Sample) -> Prediction:
        """See :data:`Method`."""
        import torch

        from ifrnet import interpolate

        first, last = (torch.from_numpy(as_tensor(frame)) for frame in (sample.frame0, sample.frame1))
        with torch.inference_mode():
            out = interpolate(self.model, first, last, torch.full((1, 1, 1, 1), sample.t))
        prediction: Prediction = out.numpy()
        return prediction


BASELINES: MappingProxyType[str, Callable[[], Method]] = MappingProxyType(
    {"averaging": lambda: average, "OpenCV DIS": DisInterpolation}
)
"""Row name -> baseline."""
