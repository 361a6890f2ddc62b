"""What is measured for accuracy: a network on any runtime, and the classical ways it has to beat."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.samples import Dataset, Sample, padded
from benchmarks.errors import BenchmarkError
from runtimes.base import Runtime
from runtimes.contract import Timesteps
from runtimes.frames import to_tensor

Prediction = NDArray[np.float32]
"""(1, 3, H, W) in [0, 1]."""

Method = Callable[[Sample], Prediction | None]
"""None where a method does not serve the sample's t."""


def average(sample: Sample) -> Prediction:
    """Both frames blended by time: what no motion at all would give."""
    first, last = to_tensor(sample.frame0), to_tensor(sample.frame1)
    return np.float32(1.0 - sample.t) * first + np.float32(sample.t) * last


class DisInterpolation:
    """OpenCV's DIS flow in both directions, frames warped to time t and blended by time.

    The flows from time t are the usual combination of the two flows between the frames (Jiang et al., Super SloMo,
    CVPR 2018, equation 4), which assumes that motion is locally smooth.

    Raises:
        BenchmarkError: OpenCV is not installed.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("cv2") is None:
            raise BenchmarkError("OpenCV is not installed: pip install 'ifrnet-export[bench]', or pass --no-baselines")
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


class Minterpolate:
    """FFmpeg's ``minterpolate``: block matching with overlapped compensation, what users have without a network.

    Raises:
        BenchmarkError: PyAV is not installed, or its FFmpeg has no such filter.
    """

    SETTINGS = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"
    """Its best quality; scene detection off, since large motion would count as a cut."""

    def __init__(self) -> None:
        if importlib.util.find_spec("av") is None:
            raise BenchmarkError("PyAV is not installed: pip install 'ifrnet-export[bench]', or pass --no-baselines")
        import av

        if "minterpolate" not in av.filter.filters_available:
            raise BenchmarkError(
                "this PyAV's FFmpeg has no minterpolate: install PyAV from PyPI, or pass --no-baselines"
            )

    def __call__(self, sample: Sample) -> Prediction:
        """See :data:`Method`."""
        import av

        time = Fraction(sample.t).limit_denominator(1000)
        graph: Any = av.filter.Graph()
        height, width = sample.frame0.shape[:2]
        source = graph.add_buffer(width=width, height=height, format="rgb24", time_base=Fraction(1))
        # Twice each: the filter interpolates between the middle two of four frames.
        frames = (sample.frame0, sample.frame0, sample.frame1, sample.frame1)
        planes = graph.add("format", "gbrp")
        filter_ = graph.add("minterpolate", f"fps={time.denominator}:{self.SETTINGS}")
        graph.link_nodes(source, planes, filter_, graph.add("format", "rgb24"), graph.add("buffersink")).configure()
        for index, frame in enumerate(frames):
            shown: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            shown.pts, shown.time_base = index, Fraction(1)
            graph.push(shown)
        while True:
            try:
                made = graph.pull()
            except (av.BlockingIOError, av.EOFError) as error:
                raise BenchmarkError(f"minterpolate gave no frame at t = {time}") from error
            if made.pts * made.time_base == 1 + time:
                return to_tensor(made.to_ndarray(format="rgb24"))


class Network:
    """A loaded network, fed as the protocol of a dataset says.

    Args:
        runtime: PyTorch or an artifact.
        dataset: for its scale and padding.

    Raises:
        BenchmarkError: an artifact of another scale, or a checkpoint that does not serve the dataset's times.
    """

    def __init__(self, runtime: Runtime, dataset: Dataset) -> None:
        if runtime.manifest.scale != dataset.scale:
            raise BenchmarkError(
                f"{runtime.spec.name} runs at scale {runtime.manifest.scale:g}, and the protocol of {dataset.name} at "
                f"{dataset.scale:g}: export it with --scale {dataset.scale:g}"
            )
        if dataset.name in ("gopro", "adobe240") and runtime.spec.timesteps is Timesteps.MIDDLE:
            raise BenchmarkError(
                f"{runtime.spec.name} serves t = 0.5 only, and {dataset.name} asks for t = 1/8 to 7/8: use a "
                "checkpoint for any t"
            )
        self.runtime, self._padding = runtime, dataset.padding

    def __call__(self, sample: Sample) -> Prediction | None:
        """See :data:`Method`; None at a t that the checkpoint does not serve."""
        if sample.t != 0.5 and self.runtime.spec.timesteps is Timesteps.MIDDLE:
            return None
        shown, window = padded(sample, self._padding)
        t = np.full((1, 1, 1, 1), sample.t, np.float32)
        output = self.runtime.infer(to_tensor(shown.frame0), to_tensor(shown.frame1), t)
        return output[:, :, *window]


BASELINES: MappingProxyType[str, Callable[[], Method]] = MappingProxyType(
    {"averaging": lambda: average, "OpenCV DIS": DisInterpolation, "FFmpeg minterpolate": Minterpolate}
)
"""Row name -> baseline."""
