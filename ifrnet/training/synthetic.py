"""Synthetic motion with exact flow: pictures as layers under smooth motion, at any t.

Every layer's motion is written in the coordinates of the true frame at time t: F_tau(x) says where the point that is
at x at time t lies at time tau. The flows to frames 0 and 1 are then F_0 and F_1 by definition, with no estimation and
no resampling, and the true frame is the layer's picture itself. Frames 0 and 1 are rendered by inverting F, a
fixed-point iteration that converges because the motion is smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ifrnet.training.samples import Sample

INVERSIONS = 2
"""Fixed-point steps from the inverse without waves: 0.003 px are left on average, 0.24 px at most."""

PAD = 32
"""Pixels of picture around the canvas, so that motion brings in real content; beyond it the picture is mirrored."""

TIMES = (0.05, 0.95)
"""Range of t, drawn uniformly: real clips give the middle often enough."""

REACH = 0.6
"""Largest motion (|x| + |y|) as a share of the canvas: two fifths or more of a frame find their match in the other.

What has left the canvas teaches to copy from the other frame, and where all has left there is no motion to be learnt.
"""

NOISY = 0.3
"""Share of scenes with noise on the input frames."""

STILL = 0.35
"""Share of scenes whose camera stands still: what moves over it moves on its own, as on a street.

Without such scenes the network learnt that objects move as their background does.
"""

ALIKE = 0.5
"""Share of the cut-outs before a moving background that add its motion to their own."""

SMALLEST = 8.0
"""Least radius of a cut-out in pixels."""

LEAST_SHARE = 0.4
"""Least radius of a cut-out as a share of its motion: the coarse levels hold no trace of what is smaller."""

FLAT = 14.0
"""Standard deviation of the green levels below which a piece of a picture counts as flat."""


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions:
    """Ranges of the generator.

    Attributes:
        side: height and width of the samples in pixels.
        max_layers: moving layers over the background, at most.
        slowest, fastest: motion of the background from frame 0 to frame 1 in pixels, log-uniform.
        rotation: largest turn from frame 0 to frame 1 in radians.
        zoom: largest logarithm of the zoom.
        ripple: largest amplitude of the local deformation in pixels.
        noise: largest standard deviation of the noise on the input frames, in levels of 255.
        defocus: largest standard deviation of the blur of a picture out of focus, and of the edge of a cut-out, in
            pixels; logarithmically uniform like the motion.
        defocused: share of pictures that are out of focus.
    """

    side: int = 160
    max_layers: int = 3
    slowest: float = 0.4
    fastest: float = 40.0
    rotation: float = 0.15
    zoom: float = 0.12
    ripple: float = 6.0
    noise: float = 4.0
    defocus: float = 8.0
    defocused: float = 0.25


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A smooth motion, linear in time, around ``centre``: velocity in pixels, rotation in radians, zoom as logarithm.

    ``waves`` are rows (frequency x, frequency y, phase, amplitude x, amplitude y) of a sum of sines.
    """

    velocity: tuple[float, float]
    rotation: float
    zoom: float
    centre: tuple[float, float]
    waves: NDArray[np.float32]

    def displacement(self, x: NDArray[np.float32], y: NDArray[np.float32], dt: float) -> NDArray[np.float32]:
        """F_tau(x) - x for tau - t = ``dt``. (H, W) twice -> (H, W, 2), pixels."""
        dx, dy = x - self.centre[0], y - self.centre[1]
        scale = np.exp(self.zoom * dt)
        cos, sin = scale * np.cos(self.rotation * dt) - 1.0, scale * np.sin(self.rotation * dt)
        out = np.empty((*x.shape, 2), dtype=np.float32)
        out[..., 0] = cos * dx - sin * dy + self.velocity[0] * dt
        out[..., 1] = sin * dx + cos * dy + self.velocity[1] * dt
        for fx, fy, phase, ax, ay in self.waves:
            wave = np.sin(fx * x + (fy * y + phase)) * np.float32(dt)
            out[..., 0] += ax * wave
            out[..., 1] += ay * wave
        return out

    def affine_inverse(
        self, x: NDArray[np.float32], y: NDArray[np.float32], dt: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The x with F_tau(x) = ``x``, ``y`` (H, W) of a motion without waves, in closed form."""
        dx = x - np.float32(self.centre[0] + self.velocity[0] * dt)
        dy = y - np.float32(self.centre[1] + self.velocity[1] * dt)
        scale = np.exp(-self.zoom * dt)
        cos, sin = np.float32(scale * np.cos(self.rotation * dt)), np.float32(scale * np.sin(self.rotation * dt))
        return cos * dx + sin * dy + np.float32(self.centre[0]), cos * dy - sin * dx + np.float32(self.centre[1])


REST = Motion(velocity=(0.0, 0.0), rotation=0.0, zoom=0.0, centre=(0.0, 0.0), waves=np.empty((0, 5), dtype=np.float32))
"""No motion."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A picture (S + 2 PAD, S + 2 PAD, 3) uint8, its opacity of the same size float32, and how it moves."""

    picture: NDArray[np.uint8]
    opacity: NDArray[np.float32] | None
    motion: Motion


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is to be rendered: layers from the background up, the time of the true frame, the noise on the others.

    Attributes:
        layers: the background and what moves over it.
        t: in (0, 1).
        noise: standard deviation in levels of 255.
    """

    layers: Sequence[Layer]
    t: float
    noise: float = 0.0


class SyntheticMotion:
    """A training set of random scenes over a collection of pictures."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]], options: SyntheticOptions) -> None:
        """``pictures``: (H, W, 3) uint8 RGB each, no smaller than the canvas with its padding."""
        if not pictures:
            raise ValueError("synthetic motion needs at least one picture")
        self.pictures = pictures
        self.options = options
        line = np.arange(options.side, dtype=np.float32)
        self._x, self._y = np.meshgrid(line, line)  # (S, S)

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        """See :class:`ifrnet.training.samples.TrainingSet`."""
        return self.at(float(rng.uniform(*TIMES)), rng)

    def at(self, t: float, rng: np.random.Generator) -> Sample:
        """A random scene at a given time: the same generator state gives the same scene and motion for every t."""
        return self.render(self.scene(t, rng), rng)

    def scene(self, t: float | None, rng: np.random.Generator) -> Scene:
        """A random scene, not yet rendered; at a random time where none is given."""
        t = float(rng.uniform(*TIMES)) if t is None else t
        layers = self._layers(t, rng)
        noise = float(rng.uniform(0.0, self.options.noise)) if rng.random() < NOISY else 0.0
        return Scene(layers=layers, t=t, noise=noise)

    def render(self, scene: Scene, rng: np.random.Generator) -> Sample:
        """Frames 0, t and 1 of a scene and the flows of the topmost layer from t to either; ``rng`` for the noise."""
        layers, t = scene.layers, scene.t
        frames = [self._compose(layers, dt) for dt in (-t, 0.0, 1.0 - t)]
        flow0 = layers[0].motion.displacement(self._x, self._y, -t)  # (S, S, 2)
        flow1 = layers[0].motion.displacement(self._x, self._y, 1.0 - t)
        canvas = np.s_[PAD : PAD + self.options.side, PAD : PAD + self.options.side]
        for layer in layers[1:]:
            assert layer.opacity is not None
            top = layer.opacity[canvas] > 0.5
            flow0[top] = layer.motion.displacement(self._x, self._y, -t)[top]
            flow1[top] = layer.motion.displacement(self._x, self._y, 1.0 - t)[top]
        img0, truth, img1 = frames
        return Sample(
            img0=_quantised(img0, scene.noise, rng),
            img1=_quantised(img1, scene.noise, rng),
            truth=_quantised(truth, 0.0, rng),
            t=t,
            flow0=flow0,
            flow1=flow1,
            trust=1.0,
        )

    def _compose(self, layers: Sequence[Layer], dt: float) -> NDArray[np.float32]:
        """The scene at time t + ``dt``: each layer sampled through its inverse motion, over those below."""
        import cv2

        frame = np.zeros((self.options.side, self.options.side, 3), dtype=np.float32)
        canvas = np.s_[PAD : PAD + self.options.side, PAD : PAD + self.options.side]
        for layer in layers:
            if dt == 0.0:  # nothing has moved
                still = layer.picture[canvas].astype(np.float32)
                frame = still if layer.opacity is None else frame + layer.opacity[canvas][..., None] * (still - frame)
                continue
            x, y = self._inverse(layer.motion, dt)
            u, v = x + np.float32(PAD), y + np.float32(PAD)
            picture = cv2.remap(layer.picture, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)  # (S, S, 3)
            if layer.opacity is None:
                frame = picture.astype(np.float32)
                continue
            opacity = cv2.remap(layer.opacity, u, v, cv2.INTER_LINEAR)[..., None]  # (S, S, 1)
            frame += opacity * (picture - frame)
        return frame

    def _inverse(self, motion: Motion, dt: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where the points now on the canvas's pixels were at time t: x with x + displacement(x) = pixel."""
        x, y = motion.affine_inverse(self._x, self._y, dt)
        for _ in range(INVERSIONS if len(motion.waves) else 0):
            moved = motion.displacement(x, y, dt)
            x, y = self._x - moved[..., 0], self._y - moved[..., 1]
        return x, y

    def _layers(self, t: float, rng: np.random.Generator) -> list[Layer]:
        """A background and up to ``max_layers`` cut-outs that stay on the canvas, one at least if it rests."""
        options = self.options
        still = rng.random() < STILL
        background = REST if still else self._motion(rng, None)
        layers = [Layer(picture=self._picture(rng), opacity=None, motion=background)]
        for _ in range(int(rng.integers(1 if still else 0, options.max_layers + 1))):
            motion = self._motion(rng, background if not still and rng.random() < ALIKE else None)
            layers.append(Layer(picture=self._picture(rng), opacity=self._opacity(motion, t, rng), motion=motion))
        return layers

    def _motion(self, rng: np.random.Generator, base: Motion | None) -> Motion:
        options = self.options
        speed = float(np.exp(rng.uniform(np.log(options.slowest), np.log(options.fastest))))
        angle = float(rng.uniform(0.0, 2.0 * np.pi))
        velocity = (speed * float(np.cos(angle)), speed * float(np.sin(angle)))
        if base is not None:
            velocity = (0.5 * velocity[0] + base.velocity[0], 0.5 * velocity[1] + base.velocity[1])
        reach = REACH * options.side / max(REACH * options.side, abs(velocity[0]) + abs(velocity[1]))
        velocity = (reach * velocity[0], reach * velocity[1])
        # Turns and zooms grow with the speed, so that slow scenes exist too.
        share = min(1.0, speed / 12.0)
        centre = rng.uniform(0.0, options.side, size=2)
        count = int(rng.integers(1, 4)) if rng.random() < 0.4 else 0
        waves = np.empty((count, 5), dtype=np.float32)
        waves[:, :2] = rng.uniform(-0.06, 0.06, size=(count, 2))  # wavelengths above 100 px keep the gradient small
        waves[:, 2] = rng.uniform(0.0, 2.0 * np.pi, size=count)
        waves[:, 3:] = rng.uniform(-1.0, 1.0, size=(count, 2)) * (share * options.ripple / max(count, 1))
        return Motion(
            velocity=velocity,
            rotation=float(rng.uniform(-1.0, 1.0)) * options.rotation * share * float(rng.random() < 0.5),
            zoom=float(rng.uniform(-1.0, 1.0)) * options.zoom * share * float(rng.random() < 0.5),
            centre=(float(centre[0]), float(centre[1])),
            waves=waves,
        )

    def _picture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A random piece of a random picture at a random scale. (S + 2 PAD, S + 2 PAD, 3)."""
        import cv2

        side = self.options.side + 2 * PAD
        picture = self.pictures[int(rng.integers(len(self.pictures)))]
        height, width = picture.shape[:2]
        largest = min(height, width)
        piece = min(largest, int(side * np.exp(rng.uniform(np.log(0.7), np.log(3.0)))))
        for _ in range(3):  # sky and other flat pieces teach little: ask for some contrast, without insisting
            top, left = int(rng.integers(height - piece + 1)), int(rng.integers(width - piece + 1))
            cut = np.ascontiguousarray(picture[top : top + piece, left : left + piece])
            if cut[::8, ::8, 1].std() > FLAT:
                break
        shrink = cv2.INTER_AREA if piece > side else cv2.INTER_CUBIC
        resized = np.asarray(cv2.resize(cut, (side, side), interpolation=shrink), dtype=np.uint8)
        if rng.random() < 0.5:
            resized = np.ascontiguousarray(resized[:, ::-1])
        if rng.random() < self.options.defocused:
            resized = np.asarray(cv2.GaussianBlur(resized, (0, 0), self._blur(1.0, rng)), dtype=np.uint8)
        return resized

    def _blur(self, sharpest: float, rng: np.random.Generator) -> float:
        """Standard deviation in pixels: walls and skies out of focus, edges blurred by their own motion."""
        return float(np.exp(rng.uniform(np.log(sharpest), np.log(self.options.defocus))))

    def _opacity(self, motion: Motion, t: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """A cut-out drawn here: an ellipse, a polygon, or a blob of thresholded noise, with an anti-aliased edge.

        The first two are centred where ``motion`` leaves their centre on the canvas in both frames.
        """
        import cv2

        side = self.options.side + 2 * PAD
        mask = np.zeros((side, side), dtype=np.uint8)
        kind = rng.random()
        # Backwards by t of the motion and forwards by the rest: both have to stay between 0 and the canvas's side.
        velocity = np.array(motion.velocity)
        before, after = np.maximum(t * velocity, (t - 1.0) * velocity), np.minimum(t * velocity, (t - 1.0) * velocity)
        centre = PAD + before + rng.random(2) * (self.options.side + after - before)
        least = max(SMALLEST, LEAST_SHARE * float(np.hypot(*velocity)))
        radius = float(np.exp(rng.uniform(np.log(least), np.log(side * 0.35))))
        if kind < 0.35:
            axes = (int(radius), max(3, int(radius * rng.uniform(0.2, 1.0))))
            cv2.ellipse(mask, (int(centre[0]), int(centre[1])), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
        elif kind < 0.7:
            angles = np.sort(rng.uniform(0.0, 2.0 * np.pi, size=int(rng.integers(3, 9))))
            radii = radius * rng.uniform(0.3, 1.0, size=angles.shape)
            points = centre + radii[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=1)
            cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 255)
        else:
            coarse = rng.random((int(rng.integers(3, 10)),) * 2).astype(np.float32)
            noise = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
            mask = (noise > np.quantile(noise, rng.uniform(0.6, 0.9))).astype(np.uint8) * 255
        width = float(rng.uniform(0.6, 1.4)) if rng.random() >= self.options.defocused else self._blur(1.4, rng)
        soft = cv2.GaussianBlur(mask.astype(np.float32) / 255.0, (0, 0), width)
        return np.asarray(soft, dtype=np.float32)


def _quantised(frame: NDArray[np.float32], noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add noise of the given deviation in levels, round, clamp to bytes."""
    if noise > 0.0:
        frame = frame + rng.standard_normal(frame.shape, dtype=np.float32) * np.float32(noise)
    return np.clip(np.rint(frame), 0.0, 255.0).astype(np.uint8)
