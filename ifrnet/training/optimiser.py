"""What changes the weights: AdamW as published, or Muon for the convolutions beside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon

from ifrnet.training.options import TrainOptions


class Optimiser:
    """AdamW; or Muon (Jordan et al., 2024) for the convolutions, and AdamW for the rest.

    Muon makes each step of a matrix orthogonal, so that directions in which the gradient is small move as far as the
    large ones. A convolution's matrix has a row for each output (each input of a transposed one).

    Attributes:
        matrices: the share of Muon: views of the convolutions' weights, which keep their place in memory.
        adamw: of everything else.
        muon: None where AdamW does everything.
    """

    def __init__(self, model: nn.Module, options: TrainOptions) -> None:
        """``options.muon`` is the ratio of Muon's rate to AdamW's; 0 has AdamW do everything."""
        trained = [p for p in model.parameters() if p.requires_grad]
        weights = [p for p in trained if p.ndim == 4] if options.muon else []
        chosen = {id(p) for p in weights}
        rest = [p for p in trained if id(p) not in chosen]
        self._weights = weights
        self.matrices = [nn.Parameter(_matrix(weight)) for weight in weights]
        if any(m.data_ptr() != w.data_ptr() for m, w in zip(self.matrices, weights, strict=True)):
            raise TypeError("Muon needs weights in the memory format channels_last: a copy would be updated instead")
        self._ratio = options.muon
        self.adamw = AdamW(rest, lr=options.rate, betas=(0.9, options.beta2), weight_decay=0.0)
        self.muon: Muon | None = None
        if weights:
            self.muon = Muon(self.matrices, lr=options.rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")

    def step(self, rate: float) -> None:
        """One update at AdamW's ``rate``; the gradients are used up."""
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        if self.muon is None:
            return
        for group in self.muon.param_groups:
            group["lr"] = rate * self._ratio
        for matrix, weight in zip(self.matrices, self._weights, strict=True):
            matrix.grad = None if weight.grad is None else _matrix(weight.grad)
            weight.grad = None
        self.muon.step()  # type: ignore[no-untyped-call]

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and values."""
        if self.muon is None:
            return self.adamw.state_dict()
        return {"adamw": self.adamw.state_dict(), "muon": self.muon.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What :meth:`state_dict` gave."""
        if self.muon is None:
            self.adamw.load_state_dict(state)
            return
        self.adamw.load_state_dict(state["adamw"])
        self.muon.load_state_dict(state["muon"])


def _matrix(tensor: torch.Tensor) -> torch.Tensor:
    """(O, I, H, W) -> (O, H W I), the same memory where the channels come last in it."""
    return tensor.detach().permute(0, 2, 3, 1).flatten(1)
