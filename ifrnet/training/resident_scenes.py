"""Random scenes of synthetic motion made on the device that trains, all scenes of a step at once.

Of the kind of :mod:`ifrnet.training.synthetic`, whose ranges hold here too. An H100 makes 26 scenes of 256 px in 29 ms
and 24 of 384 px in 43 ms, which is the time of the launches; a worker of the loader needs 20 and 40 to 46 ms for one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ifrnet.training.rendering import Scenes
from ifrnet.training.samples import Augmentation, Batch, Turns
from ifrnet.training.synthetic import (
    ALIKE,
    FLAT,
    LEAST_SHARE,
    NOISY,
    PAD,
    REACH,
    SMALLEST,
    STILL,
    TIMES,
    SyntheticOptions,
)

Floats = NDArray[np.float64]

REDUCTIONS = (1, 2, 4)
"""Block sizes at which pictures are kept: a piece is sampled where one of its pixels is about one of the scene's."""

GRAIN = 8
"""Samples a side by which a piece of a picture is judged flat."""

CORNERS = 8
"""Largest number of corners of a polygon."""

WAVES = 3
"""Largest number of waves of a motion."""

REACH_OF_BLUR = 3.0
"""Standard deviations at which a Gaussian is cut off."""


def turned(frames: Tensor, turns: Sequence[Turns]) -> Tensor:
    """Channels reversed, flipped, height and width swapped, each where asked for. (N, K, 3, S, S)."""
    for name, axes in (("channels", [2]), ("vertical", [3]), ("horizontal", [4]), ("transpose", [])):
        asked = torch.tensor([getattr(each, name) for each in turns], device=frames.device).view(-1, 1, 1, 1, 1)
        frames = torch.where(asked, frames.flip(axes) if axes else frames.transpose(3, 4), frames)
    return frames


class ResidentPictures:
    """Pictures on the device, whole and reduced, in one volume each, so that one call cuts pieces of many."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]], device: torch.device) -> None:
        """``pictures``: (H, W, 3) uint8 each."""
        whole = [np.asarray(picture) for picture in pictures]
        self.sizes = np.array([picture.shape[:2] for picture in whole])  # (D, 2), height and width
        height, width = (-(-int(side) // REDUCTIONS[-1]) * REDUCTIONS[-1] for side in self.sizes.max(axis=0))
        volume = torch.zeros((3, len(whole), height, width), device=device)
        for index, picture in enumerate(whole):
            pixels = torch.from_numpy(np.array(picture)).to(device).permute(2, 0, 1).float()[None]
            # The rows and columns that fill up the volume repeat the last ones: reduced ones are means with them.
            pad = (0, width - picture.shape[1], 0, height - picture.shape[0])
            volume[:, index] = F.pad(pixels, pad, mode="replicate")[0]
        self.volumes = [F.avg_pool3d(volume[None], (1, by, by)) if by > 1 else volume[None] for by in REDUCTIONS]
        self.device = device

    def cut(self, which: NDArray[np.int64], boxes: Floats, side: int) -> Tensor:
        """Square pieces resampled to ``side``.

        Args:
            which: (M,) indices of pictures.
            boxes: (M, 3), top, left and side of the piece in pixels of the picture.
            side: of the result.

        Returns:
            (M, 3, side, side) in levels.
        """
        out = torch.empty((len(which), 3, side, side), device=self.device)
        level = np.rint(np.log2(np.maximum(boxes[:, 2] / side, 1.0))).astype(int).clip(max=len(REDUCTIONS) - 1)
        for number, volume in enumerate(self.volumes):
            chosen = np.flatnonzero(level == number)
            if not len(chosen):
                continue
            depth, height, width = volume.shape[2:]
            top, left, piece = (
                torch.tensor(column, dtype=torch.float32, device=self.device).view(-1, 1, 1)
                for column in boxes[chosen].T
            )
            line = (torch.arange(side, device=self.device) + 0.5) / side
            by = float(REDUCTIONS[number])
            y = (2.0 * (top + piece * line.view(1, -1, 1)) / (by * height) - 1.0).expand(-1, -1, side)
            x = (2.0 * (left + piece * line.view(1, 1, -1)) / (by * width) - 1.0).expand(-1, side, -1)
            z = torch.tensor((2.0 * which[chosen] + 1.0) / depth - 1.0, dtype=torch.float32, device=self.device)
            grid = torch.stack((x, y, z.view(-1, 1, 1).expand_as(x)), dim=-1)[None]  # (1, m, side, side, 3)
            pieces = F.grid_sample(volume, grid, mode="bilinear", padding_mode="border", align_corners=False)
            out[torch.from_numpy(chosen).to(self.device)] = pieces[0].transpose(0, 1)
        return out


class ResidentScenes:
    """Random scenes of :class:`SyntheticMotion`'s kind, all of a step drawn at once."""

    def __init__(self, pictures: ResidentPictures, options: SyntheticOptions) -> None:
        self.pictures = pictures
        self.options = options
        self.canvas = options.side + 2 * PAD

    def batch(self, count: int, rng: np.random.Generator, augmentation: Augmentation) -> Batch:
        """``count`` scenes, rendered."""
        options, layers = self.options, self.options.max_layers + 1
        t = rng.uniform(*TIMES, size=count)
        still = rng.random(count) < STILL
        last = np.where(still, rng.integers(1, layers, size=count), rng.integers(0, layers, size=count))
        there = np.arange(layers) <= last[:, None]  # (N, L)
        motions = _motions(count, layers, still, options, rng)
        turns = [augmentation.draw(rng) for _ in range(count)]
        shape = (count, layers, 3, self.canvas, self.canvas)
        device = self.pictures.device
        pictures = torch.zeros(shape, device=device)
        chosen = torch.from_numpy(np.flatnonzero(there)).to(device)
        pictures.view(-1, *shape[2:])[chosen] = self._pictures(int(there.sum()), rng)
        # Motion, masks and time have no preferred direction: turning the pictures is enough.
        pictures = turned(pictures, [Turns(t.channels, t.vertical, False, t.transpose, False) for t in turns])
        opacities = torch.zeros((count, layers, 1, self.canvas, self.canvas), device=device)
        opacities[:, 0] = 255.0
        over = there.copy()
        over[:, 0] = False
        if over.any():
            times = np.repeat(t[:, None], layers, axis=1)[over]
            masks = self._opacities(motions[over][:, :2], times, rng)
            opacities.view(-1, *opacities.shape[2:])[torch.from_numpy(np.flatnonzero(over)).to(device)] = masks
        noise = np.where(rng.random(count) < NOISY, rng.uniform(0.0, options.noise, size=count), 0.0)
        scenes = Scenes(
            pictures,
            opacities,
            torch.tensor(motions, dtype=torch.float32, device=device),
            torch.tensor(t, dtype=torch.float32, device=device).view(-1, 1, 1, 1),
            torch.tensor(noise, dtype=torch.float32, device=device).view(-1, 1, 1, 1),
            int(rng.integers(2**31)),
        )
        return scenes.render()

    def _pictures(self, count: int, rng: np.random.Generator) -> Tensor:
        """Random pieces of random pictures at random scales, some out of focus. (M, 3, P, P) in levels."""
        sizes = self.pictures.sizes
        which = rng.integers(len(sizes), size=count)
        piece = np.exp(rng.uniform(np.log(0.7), np.log(3.0), size=count)) * self.canvas
        piece = np.minimum(np.floor(piece), sizes[which].min(axis=1))
        # Sky and other flat pieces teach little: of three the first with some contrast, without insisting.
        tries = rng.random((3, count, 2)) * (sizes[which] - piece[:, None] + 1.0)
        boxes = np.concatenate((np.floor(tries), np.broadcast_to(piece[:, None], (3, count, 1))), axis=2)
        coarse = self.pictures.cut(np.tile(which, 3), boxes.reshape(-1, 3), GRAIN)
        flat = (coarse[:, 1].std(dim=(1, 2)) <= FLAT).cpu().numpy().reshape(3, count)
        choice = np.where(~flat[0], 0, np.where(~flat[1], 1, 2))
        pieces = self.pictures.cut(which, boxes[choice, np.arange(count)], self.canvas)
        mirrored = torch.from_numpy(rng.random(count) < 0.5).to(pieces.device).view(-1, 1, 1, 1)
        pieces = torch.where(mirrored, pieces.flip(3), pieces)
        blurred = np.flatnonzero(rng.random(count) < self.options.defocused)
        if len(blurred):
            rows = torch.from_numpy(blurred).to(pieces.device)
            pieces[rows] = gaussian(pieces[rows], self._blur(1.0, len(blurred), rng))
        return pieces

    def _blur(self, sharpest: float, count: int, rng: np.random.Generator) -> Floats:
        return np.exp(rng.uniform(np.log(sharpest), np.log(self.options.defocus), size=count))

    def _opacities(self, velocity: Floats, t: Floats, rng: np.random.Generator) -> Tensor:
        """Masks of cut-outs: ellipses, polygons, blobs of thresholded noise. (M, 1, P, P) in levels of 255.

        Args:
            velocity: (M, 2) in pixels from frame 0 to frame 1; the first two kinds stay on the canvas in both.
            t: (M,), the time at which they are drawn.
        """
        count, side, device = len(t), self.options.side, self.pictures.device
        parts = (t[:, None] * velocity, (t[:, None] - 1.0) * velocity)
        before, after = np.maximum(*parts), np.minimum(*parts)
        centre = PAD + before + rng.random((count, 2)) * (side + after - before)
        least = np.maximum(SMALLEST, LEAST_SHARE * np.hypot(*velocity.T))
        radius = np.exp(rng.uniform(np.log(least), np.log(self.canvas * 0.35)))
        kind = rng.random(count)
        mask = torch.empty((count, 1, self.canvas, self.canvas), device=device)
        drawers = (self._ellipses, self._polygons, self._blobs)
        kinds = (kind < 0.35, (kind >= 0.35) & (kind < 0.7), kind >= 0.7)
        for drawer, part in zip(drawers, kinds, strict=True):
            rows = np.flatnonzero(part)
            if len(rows):
                mask[torch.from_numpy(rows).to(device), 0] = drawer(centre[rows], radius[rows], rng)
        soft = rng.random(count) < self.options.defocused
        widths = np.where(soft, self._blur(1.4, count, rng), rng.uniform(0.6, 1.4, size=count))
        for rows in (np.flatnonzero(soft), np.flatnonzero(~soft)):
            if len(rows):
                there = torch.from_numpy(rows).to(device)
                mask[there] = gaussian(mask[there], widths[rows])
        return 255.0 * mask

    def _grid(self) -> tuple[Tensor, Tensor]:
        line = torch.arange(self.canvas, dtype=torch.float32, device=self.pictures.device)
        return line.view(1, 1, -1), line.view(1, -1, 1)  # x, y

    def _columns(self, *values: Floats) -> tuple[Tensor, ...]:
        device = self.pictures.device
        return tuple(torch.tensor(value, dtype=torch.float32, device=device).view(-1, 1, 1) for value in values)

    def _ellipses(self, centre: Floats, radius: Floats, rng: np.random.Generator) -> Tensor:
        angle = rng.uniform(0.0, np.pi, size=len(radius))
        narrow = np.maximum(3.0, radius * rng.uniform(0.2, 1.0, size=len(radius)))
        x, y = self._grid()
        cx, cy, a, b, cos, sin = self._columns(*centre.T, radius, narrow, np.cos(angle), np.sin(angle))
        dx, dy = x - cx, y - cy
        along, across = (cos * dx + sin * dy) / a, (cos * dy - sin * dx) / b
        return (along**2 + across**2 <= 1.0).float()

    def _polygons(self, centre: Floats, radius: Floats, rng: np.random.Generator) -> Tensor:
        count = len(radius)
        corners = rng.integers(3, CORNERS + 1, size=count)
        angles = rng.uniform(0.0, 2.0 * np.pi, size=(count, CORNERS))
        extent = radius[:, None] * rng.uniform(0.3, 1.0, size=(count, CORNERS))
        # What is left over repeats the last corner: an edge without length is never crossed.
        angles[np.arange(CORNERS) >= corners[:, None]] = np.inf
        order = np.argsort(angles, axis=1)
        angles, extent = np.take_along_axis(angles, order, axis=1), np.take_along_axis(extent, order, axis=1)
        kept = np.minimum(np.arange(CORNERS), corners[:, None] - 1)
        angles, extent = np.take_along_axis(angles, kept, axis=1), np.take_along_axis(extent, kept, axis=1)
        px, py = centre[:, :1] + extent * np.cos(angles), centre[:, 1:] + extent * np.sin(angles)
        x, y = self._grid()
        inside = torch.zeros((count, self.canvas, self.canvas), dtype=torch.bool, device=self.pictures.device)
        for i in range(CORNERS):
            x1, y1, x2, y2 = self._columns(px[:, i - 1], py[:, i - 1], px[:, i], py[:, i])
            crosses = (y1 > y) != (y2 > y)
            slope = torch.where(y1 == y2, torch.zeros_like(y1), (x2 - x1) / (y2 - y1))
            inside ^= crosses & (x < x1 + slope * (y - y1))
        return inside.float()

    def _blobs(self, _: Floats, radius: Floats, rng: np.random.Generator) -> Tensor:
        count = len(radius)  # blobs are everywhere
        cells = rng.integers(3, 10, size=count)
        share = rng.uniform(0.6, 0.9, size=count)
        noise = torch.from_numpy(rng.random((count, 9, 9), dtype=np.float32)).to(self.pictures.device)
        out = torch.empty((count, self.canvas, self.canvas), device=self.pictures.device)
        for size in np.unique(cells):
            rows = torch.from_numpy(np.flatnonzero(cells == size)).to(out.device)
            grown = F.interpolate(
                noise[rows, None, :size, :size], size=(self.canvas, self.canvas), mode="bicubic", align_corners=False
            )
            out[rows] = grown[:, 0]
        ranked = out[:, ::GRAIN, ::GRAIN].flatten(1).sort(dim=1).values
        edge = torch.from_numpy((share * (ranked.shape[1] - 1)).astype(np.int64)).to(out.device)
        return (out > ranked.gather(1, edge[:, None])[..., None]).float()


def _motions(
    count: int, layers: int, still: NDArray[np.bool_], options: SyntheticOptions, rng: np.random.Generator
) -> Floats:
    """Motions of all layers as :class:`Scenes` holds them: those of :meth:`SyntheticMotion._motion`, at once."""
    shape = (count, layers)
    speed = np.exp(rng.uniform(np.log(options.slowest), np.log(options.fastest), size=shape))
    angle = rng.uniform(0.0, 2.0 * np.pi, size=shape)
    velocity = speed[..., None] * np.stack((np.cos(angle), np.sin(angle)), axis=-1)  # (N, L, 2)
    velocity[:, :1] = _within_reach(velocity[:, :1], options.side)
    alike = (rng.random(shape) < ALIKE) & ~still[:, None]
    alike[:, 0] = False
    velocity = np.where(alike[..., None], 0.5 * velocity + velocity[:, :1], velocity)
    velocity = _within_reach(velocity, options.side)
    share = np.minimum(1.0, speed / 12.0)
    turn, zoom = (
        rng.uniform(-1.0, 1.0, size=shape) * largest * share * (rng.random(shape) < 0.5)
        for largest in (options.rotation, options.zoom)
    )
    centre = rng.uniform(0.0, options.side, size=(*shape, 2))
    number = np.where(rng.random(shape) < 0.4, rng.integers(1, WAVES + 1, size=shape), 0)
    waves = np.empty((*shape, WAVES, 5))
    waves[..., :2] = rng.uniform(-0.06, 0.06, size=(*shape, WAVES, 2))
    waves[..., 2] = rng.uniform(0.0, 2.0 * np.pi, size=(*shape, WAVES))
    waves[..., 3:] = rng.uniform(-1.0, 1.0, size=(*shape, WAVES, 2))
    waves[..., 3:] *= (share * options.ripple / np.maximum(number, 1))[..., None, None]
    waves[np.arange(WAVES) >= number[..., None]] = 0.0
    fields = np.concatenate(
        (velocity, turn[..., None], zoom[..., None], centre, waves.reshape(*shape, -1)), axis=-1
    )  # (N, L, 6 + 5 WAVES)
    fields[still, 0] = 0.0
    return fields


def _within_reach(velocity: Floats, side: int) -> Floats:
    length = np.abs(velocity).sum(axis=-1, keepdims=True)
    return velocity * (REACH * side / np.maximum(REACH * side, length))


def gaussian(planes: Tensor, widths: Floats) -> Tensor:
    """Blur each of (M, C, P, P) by a Gaussian of its own standard deviation (M,), in pixels; mirrored at the edge."""
    reach = int(np.ceil(REACH_OF_BLUR * widths.max()))
    line = torch.arange(-reach, reach + 1, dtype=torch.float32, device=planes.device)
    width = torch.tensor(widths, dtype=torch.float32, device=planes.device).view(-1, 1)
    kernel = torch.exp(-0.5 * (line / width) ** 2)  # (M, 2 reach + 1)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(planes.shape[1], dim=0)
    flat = planes.reshape(1, -1, *planes.shape[2:])  # (1, M C, P, P)
    groups = flat.shape[1]
    for shape, pad in (((groups, 1, 1, -1), (reach, reach, 0, 0)), ((groups, 1, -1, 1), (0, 0, reach, reach))):
        flat = F.conv2d(F.pad(flat, pad, mode="reflect"), kernel.view(shape), groups=groups)
    return flat.view_as(planes)
