"""What targets start from: the network in one rewritten form, as a PyTorch module and as ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import torch
from onnx import ModelProto
from torch import Tensor

from export.graph import DeployGraph
from export.int8.quantize import quantize
from export.rewrites import build_graph
from export.sentinels import guard
from export.trace import dynamic_shapes, example_inputs, trace
from ifrnet import IFRNet
from runtimes.contract import Precision, SizeRange, Timesteps

NO_SCALES: Mapping[str, float] = MappingProxyType({})


class Source:
    """One form of the network. Targets with the same rewrites and the same precision of the graph share it.

    Nothing is made before it is asked for, so a target that starts from the module traces no ONNX.

    Args:
        model: the reference; its weights are copied.
        rewrites: names in ``export.rewrites.REWRITES``, in order.
        precision: what the graph is written in. INT8 is a float32 module, and Q/DQ in the ONNX.
        sizes: what the artifact will take.
        scale: the network runs on frames resized by this.
        scales: of INT8: layer -> the float value of one int8 step of its input.
        report: receives one short line when the trace begins and when it ends.
    """

    def __init__(
        self,
        model: IFRNet,
        rewrites: Sequence[str],
        precision: Precision,
        *,
        sizes: SizeRange,
        scale: float = 1.0,
        scales: Mapping[str, float] = NO_SCALES,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.rewrites, self.precision = tuple(rewrites), precision
        self.sizes, self.scale, self.scales = sizes, scale, scales
        self._model, self._report = model, report

    def reformed(self, rewrites: Sequence[str]) -> Source:
        """The same network in a form of its own, for targets whose options decide the form; shared with nobody."""
        return Source(
            self._model,
            rewrites,
            self.precision,
            sizes=self.sizes,
            scale=self.scale,
            scales=self.scales,
            report=self._report,
        )

    @property
    def timesteps(self) -> Timesteps:
        """The times between two frames that the checkpoint serves."""
        return self._model.info.timesteps if self._model.info is not None else Timesteps.ANY

    @cached_property
    def module(self) -> DeployGraph:
        """The rewritten network: (1, 3, H, W) twice and (1, 1, 1, 1) -> (1, 3, H, W); see :mod:`runtimes.contract`."""
        typical = self.sizes.typical
        size = (typical.height, typical.width) if self.sizes.is_static else None
        return build_graph(self._model, self.rewrites, precision=self.precision, scale=self.scale, size=size)

    @cached_property
    def example_inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """img0, img1 and t; see :func:`export.trace.example_inputs`."""
        return example_inputs(self.sizes)

    def exported_program(self) -> torch.export.ExportedProgram:
        """The module as ``torch.export`` sees it, for targets that begin there. Free sizes are not bound to the range.

        The rewrites that take the mean in ONNX operators (``row_mean``, ``pooled_mean``) are for ONNX alone;
        ``stepped_mean`` is for these.
        """
        return torch.export.export(
            self.module,
            self.example_inputs,
            dynamic_shapes=dynamic_shapes(self.sizes),
            prefer_deferred_runtime_asserts_over_guards=True,  # bounds of sides are no guards
        )

    @cached_property
    def onnx(self) -> ModelProto:
        """The module traced, simplified and, for INT8, with Q/DQ; every sentinel has looked at it.

        Raises:
            ExportError: the simplified graph does not agree with the traced one.
            CalibrationError: the scales are of another network.
            SentinelError: the graph is not the network any more.
        """
        form = f"the {self.precision} graph ({', '.join(self.rewrites)})"
        self._report(f"tracing {form}")
        model = trace(self.module, self.example_inputs, self.sizes)
        if self.precision is Precision.INT8:
            model = quantize(model, self.scales)
        guard(model, self.precision)
        self._report(f"traced {form}")
        return model
