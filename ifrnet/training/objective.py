"""The network with its losses as one module, so that DistributedDataParallel sees a single forward."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ifrnet.model import IFRNet, pair_mean
from ifrnet.training import losses
from ifrnet.training.options import LossWeights, Precision
from ifrnet.training.samples import Batch
from ifrnet.warp import warp

TERMS = ("loss", "reconstruction", "geometry", "distillation", "psnr", "flow", "coarse")
"""Order of the values that :class:`Objective` returns."""

COARSE = 3
"""Level of the finest decoder of the coarse flow loss: what it gets wrong by much, the two after it cannot mend."""


class Objective(nn.Module):
    """Batch -> (7,) loss terms in the order of :data:`TERMS`; only the first has weights applied and is minimised."""

    def __init__(self, model: IFRNet, weights: LossWeights, precision: Precision) -> None:
        super().__init__()
        self.model = model
        self.weights = weights
        self.precision = precision

    def forward(self, batch: Batch, flow_weight: Tensor, wide: Batch | None = None) -> Tensor:
        """See the class.

        Args:
            batch: the samples of this step.
            flow_weight: (), of the direct flow loss at this step; ignored where it is off.
            wide: scenes of large motion for the coarse flow loss; ignored where it is off.
        """
        mean = pair_mean(batch.img0, batch.img1)
        low = self.precision is Precision.BFLOAT16
        with torch.autocast(batch.img0.device.type, dtype=torch.bfloat16, enabled=low):
            img0, img1 = batch.img0 - mean, batch.img1 - mean
            estimate = self.model.estimate(img0, img1, batch.t)
            truths = self.model.encoder(batch.truth - mean)[:3] if self.weights.geometry else ()
        zero = mean.new_zeros(())
        total = rec = geo = dis = psnr = flow = coarse = zero
        if self.weights.reconstruction or self.weights.psnr:
            # Not IFRNet.synthesize: clamping would hide the gradient of everything outside [0, 1].
            warped0, warped1 = warp(img0, estimate.flows0[0]), warp(img1, estimate.flows1[0])
            prediction = estimate.mask * warped0 + (1.0 - estimate.mask) * warped1 + mean + estimate.residual
            rec = losses.reconstruction(prediction, batch.truth)
            psnr = losses.negative_psnr(prediction, batch.truth)
            total = total + self.weights.reconstruction * rec + self.weights.psnr * psnr
        if self.weights.geometry:
            geo = losses.geometry([f.float() for f in estimate.features], [f.float() for f in truths])
            total = total + self.weights.geometry * geo
        directions = ((estimate.flows0, batch.flow0), (estimate.flows1, batch.flow1))
        if self.weights.distillation:
            dis = dis + sum((losses.distillation(flows, reference) for flows, reference in directions), zero)
            total = total + self.weights.distillation * dis
        if self.weights.flow:
            counts = self._counts(batch)
            each = (losses.multiscale_flow(flows, reference, counts) for flows, reference in directions)
            flow = flow + sum(each, zero)
            total = total + flow_weight * flow
        if self.weights.coarse and wide is not None:
            coarse = self._coarse(wide)
            total = total + self.weights.coarse * coarse
        return torch.stack([total, *(term.detach() for term in (rec, geo, dis, psnr, flow, coarse))])

    def _coarse(self, wide: Batch) -> Tensor:
        """The direct flow loss of the coarse decoders alone, which are a quarter of the network's work."""
        mean = pair_mean(wide.img0, wide.img1)
        low = self.precision is Precision.BFLOAT16
        with torch.autocast(wide.img0.device.type, dtype=torch.bfloat16, enabled=low):
            both = self.model.coarse_flows(wide.img0 - mean, wide.img1 - mean, wide.t, COARSE)
        directions = zip(both, (wide.flow0, wide.flow1), strict=True)
        counts = self._counts(wide)
        each = (losses.multiscale_flow(flows, reference, counts, COARSE) for flows, reference in directions)
        return sum(each, mean.new_zeros(()))

    def _counts(self, batch: Batch) -> Tensor:
        """What the direct flow loss counts each pixel, (N, 1, H, W)."""
        sample = batch.trust * losses.by_motion(batch.flow0, batch.flow1, self.weights.flow_knee)
        return sample * losses.standing_out(batch.flow0, batch.flow1)
