"""PyTorch behind the interface of the runtimes: the baseline of speed, and ``--model`` for accuracy."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.speed.without_artifact import bare_manifest
from ifrnet import IFRNet, interpolate, size_multiple
from runtimes.artifact import DeviceParity
from runtimes.base import Runtime
from runtimes.contract import Verdict
from runtimes.frames import Array
from runtimes.tuning import Tuning


class Layout(StrEnum):
    """Memory layout of frames, features and weights."""

    NCHW = "NCHW"
    CHANNELS_LAST = "channels_last"


class EagerRuntime(Runtime):
    """The network as published, in eager mode and inference mode.

    Args:
        model: with its ``info``.
        device: ``cpu`` or ``cuda:N``.
        layout: see :class:`Layout`.
        scale: the network runs on frames resized by this.
        threads: of the whole process; None leaves PyTorch's default.
    """

    def __init__(
        self,
        model: IFRNet,
        *,
        device: str = "cpu",
        layout: Layout = Layout.NCHW,
        scale: float = 1.0,
        threads: int | None = None,
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32 on GPUs too, as in the other backends
        self._format = torch.channels_last if layout is Layout.CHANNELS_LAST else torch.contiguous_format
        self._device, self._scale = torch.device(device), scale
        self._model = model.to(self._device).to(memory_format=self._format)  # type: ignore[call-overload]
        info = model.info
        assert info is not None
        manifest = bare_manifest(
            info.name,
            backend="pytorch",
            timesteps=info.timesteps,
            variant=model.variant.name,
            sha256=info.sha256,
            scale=scale,
            parity=(DeviceParity(device=device, verdict=Verdict.PASSED, reason="is the reference", arithmetic="fp32"),),
        )
        super().__init__(manifest, backend="pytorch", device=device, arithmetic="fp32", tuning=Tuning(threads=threads))

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        with torch.inference_mode():
            x0, x1 = (self._tensor(img).contiguous(memory_format=self._format) for img in (img0, img1))
            step = self._tensor(t)
            multiple = size_multiple(self._scale)
            if img0.shape[2] % multiple or img0.shape[3] % multiple:
                out = interpolate(self._model, x0, x1, step, self._scale)
            else:
                out = self._model(x0, x1, step, self._scale)  # the official form; t was checked by the base class
            return np.ascontiguousarray(out.cpu().numpy())

    def _tensor(self, array: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)

    def _close(self) -> None:
        del self._model
