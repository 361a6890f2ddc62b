"""Scenes of synthetic motion rendered by PyTorch, many at a time, on the device that trains.

The same pictures under the same motion as :meth:`ifrnet.training.synthetic.SyntheticMotion.render`, which a worker of
the loader calls for one scene.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ifrnet.training.samples import Batch
from ifrnet.training.synthetic import INVERSIONS, PAD


class Motions(NamedTuple):
    """:class:`ifrnet.training.synthetic.Motion` of L layers in N scenes, each field (N, L, 1, 1).

    Attributes:
        vx, vy, rotation, zoom, cx, cy: velocity in pixels, turn in radians, logarithm of the zoom, centre.
        waves: rows (frequency x, frequency y, phase, amplitude x, amplitude y) of such fields, zeros where a motion has
            fewer than another.
    """

    vx: Tensor
    vy: Tensor
    rotation: Tensor
    zoom: Tensor
    cx: Tensor
    cy: Tensor
    waves: tuple[tuple[Tensor, ...], ...]

    def displacement(self, x: Tensor, y: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """F_tau(x) - x for tau - t = ``dt`` (N, 1, 1, 1). (N, L, S, S) twice -> the same twice, pixels."""
        dx, dy = x - self.cx, y - self.cy
        scale = torch.exp(self.zoom * dt)
        cos, sin = scale * torch.cos(self.rotation * dt) - 1.0, scale * torch.sin(self.rotation * dt)
        u, v = cos * dx - sin * dy + self.vx * dt, sin * dx + cos * dy + self.vy * dt
        for fx, fy, phase, ax, ay in self.waves:
            wave = torch.sin(fx * x + (fy * y + phase)) * dt
            u, v = u + ax * wave, v + ay * wave
        return u, v

    def inverse(self, x: Tensor, y: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Where the points now at ``x``, ``y`` were at time t: exact without waves, a fixed point with them."""
        dx, dy = x - (self.cx + self.vx * dt), y - (self.cy + self.vy * dt)
        scale = torch.exp(-self.zoom * dt)
        cos, sin = scale * torch.cos(self.rotation * dt), scale * torch.sin(self.rotation * dt)
        before = cos * dx + sin * dy + self.cx, cos * dy - sin * dx + self.cy
        for _ in range(INVERSIONS if self.waves else 0):
            u, v = self.displacement(*before, dt)
            before = x - u, y - v
        return before


class Scenes(NamedTuple):
    """N scenes of up to L layers; missing layers are transparent.

    Attributes:
        pictures: (N, L, 3, S + 2 PAD, S + 2 PAD) in levels.
        opacities: (N, L, 1, S + 2 PAD, S + 2 PAD) in 255ths.
        motions: (N, L, 6 + 5 W) float32, the fields of :class:`Motions` with W waves.
        t: (N, 1, 1, 1) float32.
        noise: (N, 1, 1, 1) float32, standard deviation in levels.
        seed: of the noise.
    """

    pictures: Tensor
    opacities: Tensor
    motions: Tensor
    t: Tensor
    noise: Tensor
    seed: int

    def render(self) -> Batch:
        """Frames 0, t and 1 and the flows of the topmost layer from t to either, where the pictures are."""
        side = self.pictures.shape[-1] - 2 * PAD
        device, t = self.pictures.device, self.t
        pictures, opacities = self.pictures.float(), self.opacities.float() / 255.0
        motions = _motions(self.motions)
        line = torch.arange(side, dtype=torch.float32, device=device)
        y, x = (axis.expand(*pictures.shape[:2], -1, -1) for axis in torch.meshgrid(line, line, indexing="ij"))
        generator = torch.Generator(device).manual_seed(self.seed)
        frames, flows = [], []
        top = _canvas(opacities, side) > 0.5  # (N, L, 1, S, S)
        for dt in (-t, 1.0 - t):
            before = motions.inverse(x, y, dt)
            frame = _over(_sampled(pictures, before, "bicubic"), _sampled(opacities, before, "bilinear"))
            frame = frame + self.noise * torch.randn(frame.shape, device=device, generator=generator)
            frames.append(_quantised(frame))
            each = torch.stack(motions.displacement(x, y, dt), dim=2)  # (N, L, 2, S, S)
            flow = each[:, 0]
            for layer in range(1, each.shape[1]):
                flow = torch.where(top[:, layer], each[:, layer], flow)
            flows.append(flow)
        truth = _quantised(_over(_canvas(pictures, side), _canvas(opacities, side)))
        img0, img1 = frames
        flow0, flow1 = flows
        return Batch(img0, img1, truth, t, flow0, flow1, torch.ones_like(t))


def _motions(packed: Tensor) -> Motions:
    fields = packed[..., None, None].unbind(dim=2)  # (N, L, 1, 1) each
    vx, vy, rotation, zoom, cx, cy, *rest = fields
    return Motions(vx, vy, rotation, zoom, cx, cy, tuple(tuple(rest[i : i + 5]) for i in range(0, len(rest), 5)))


def _canvas(planes: Tensor, side: int) -> Tensor:
    """What lies on the canvas while nothing has moved: (N, L, C, S + 2 PAD, S + 2 PAD) -> (N, L, C, S, S)."""
    return planes[..., PAD : PAD + side, PAD : PAD + side]


def _sampled(planes: Tensor, place: tuple[Tensor, Tensor], mode: str) -> Tensor:
    """Planes (N, L, C, P, P) at canvas coordinates x, y (N, L, S, S) -> (N, L, C, S, S).

    Pictures go on as their mirror image beyond their edge, masks end there.
    """
    last = planes.shape[-1] - 1
    grid = torch.stack([2.0 * (axis + PAD) / last - 1.0 for axis in place], dim=-1)  # (N, L, S, S, 2)
    border = "reflection" if mode == "bicubic" else "zeros"
    flat = F.grid_sample(planes.flatten(0, 1), grid.flatten(0, 1), mode=mode, padding_mode=border, align_corners=True)
    return flat.view(*planes.shape[:3], *flat.shape[2:])


def _over(pictures: Tensor, opacities: Tensor) -> Tensor:
    """Layers one over another: (N, L, 3, S, S) in levels and (N, L, 1, S, S) -> (N, 3, S, S)."""
    pictures = pictures.clamp(0.0, 255.0)  # a cubic overshoots
    frame = pictures[:, 0]
    for layer in range(1, pictures.shape[1]):
        frame = frame + opacities[:, layer] * (pictures[:, layer] - frame)
    return frame


def _quantised(frame: Tensor) -> Tensor:
    """Levels as whole ones, in [0, 1]."""
    return frame.round().clamp(0.0, 255.0) / 255.0
