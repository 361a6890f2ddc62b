"""Clips drawn and encoded here, and a runtime of numpy, so that the tests of videos need no export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import ColorRange

from runtimes.artifact import MANIFEST, DeviceParity, Manifest, sha256_of
from runtimes.base import Runtime
from runtimes.contract import Precision, Size, SizeRange, Timesteps, Verdict
from runtimes.frames import Array
from runtimes.video.color import Color, Converter

SIZE = Size(96, 64)

BUILTIN = sha256_of(Path(__file__).parents[3] / "ifrnet" / "checkpoints" / "ifrnet_s.safetensors")
"""Of the built-in model, by which it is known."""


def draw(index: int, size: Size = SIZE, scene: int = 0) -> Array:
    """Frame ``index`` of a moving picture: waves that travel, and a square; each ``scene`` has other colours."""
    y, x = np.mgrid[0 : size.height, 0 : size.width].astype(np.float32)
    phase = 0.2 * index
    waves = [
        128 + 90 * np.sin(x / 9 + phase + scene),
        128 + 80 * np.cos(y / 7 - phase + 2.1 * scene),
        90 + 60 * np.sin((x + y) / 13 + phase / 2 + 3 * scene),
    ]
    frame = np.stack(waves, axis=2).clip(0, 255).astype(np.uint8)  # (H, W, 3)
    left = 4 + 3 * index % (size.width - 20)
    frame[size.height // 3 : size.height // 3 + 12, left : left + 12] = (250, 240, 20) if scene == 0 else (10, 30, 250)
    return frame


BT709 = Color(matrix=1, full=False, primaries=1, transfer=1)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """How to write a test clip. ``times`` has one entry a frame, in seconds, and the end."""

    times: Sequence[Fraction]
    size: Size = SIZE
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    color: Color = BT709
    options: tuple[tuple[str, str], ...] = (("qp", "0"), ("preset", "ultrafast"))
    rotation: int = 0
    audio: str = ""
    audio_start: Fraction = Fraction(0)
    pictures: Callable[[int], Array] = draw
    rate: Fraction = Fraction(25)


def even(rate: Fraction | int, count: int, start: Fraction = Fraction(0)) -> list[Fraction]:
    """Times of ``count`` frames at a constant rate, and the end."""
    return [start + Fraction(i) / rate for i in range(count + 1)]


def write_clip(path: Path, clip: Clip) -> Path:
    """Encode a clip with lossless defaults, and a sine as sound."""
    from runtimes.video.timeline import common_unit

    unit = common_unit(*clip.times)
    converter = Converter(clip.color)
    options = {"movie_timescale": "1200000"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", container_options=options) as container:
        container.metadata["title"] = "a test"
        stream: Any = container.add_stream(clip.codec, rate=clip.rate, options=dict(clip.options))
        stream.width, stream.height, stream.pix_fmt = clip.size.width, clip.size.height, clip.pixel_format
        stream.time_base = stream.codec_context.time_base = unit
        context = stream.codec_context
        context.flags |= int(Flags.frame_duration)
        if not clip.pixel_format.startswith(("rgb", "bgr", "gbr", "pal")):
            context.colorspace, context.color_range = (
                clip.color.matrix,
                ColorRange.JPEG if clip.color.full else ColorRange.MPEG,
            )
        context.color_primaries, context.color_trc = clip.color.primaries, clip.color.transfer
        if clip.rotation:
            stream.set_display_rotation(clip.rotation)
        sound = container.add_stream(clip.audio, rate=48000, layout="mono") if clip.audio else None
        for index, (time, following) in enumerate(zip(clip.times, clip.times[1:], strict=False)):
            frame = converter.from_rgb(clip.pictures(index), clip.pixel_format)
            frame.pts, frame.time_base, frame.duration = int(time / unit), unit, int((following - time) / unit)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _write_sine(container, sound, clip.audio_start, clip.times[-1])
    return path


def _write_sine(container: Any, stream: Any, start: Fraction, end: Fraction) -> None:
    samples = np.arange(int((end - start) * 48000))
    wave = (0.5 * np.sin(2 * np.pi * 440 * samples / 48000)).astype(np.float32)
    for begin in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(wave[np.newaxis, begin : begin + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, begin + int(start * 48000), Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


@dataclass(frozen=True)
class Decoded:
    """A frame of a finished video, as planes of integers."""

    time: Fraction
    planes: Array
    rgb: Array


def seconds_of(item: Any) -> Fraction:
    """When a frame or packet is shown."""
    time: Fraction = item.pts * item.time_base
    return time


def read_video(path: Path) -> list[Decoded]:
    """All frames of a file, in its own pixel format and as RGB."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            rgb = Converter(Color.of(frame)).to_rgb(frame)
            planes = rgb if frame.format.name in ("bgra", "gbrp", "pal8", "bgr0") else frame.to_ndarray()
            found.append(Decoded(seconds_of(frame), planes, rgb))
    return found


class Blender(Runtime):
    """Blends instead of inferring: (1 - t) a + t b. ``calls`` records each t."""

    def __init__(self, manifest: Manifest, device: str = "cpu") -> None:
        super().__init__(manifest, backend="numpy", device=device, arithmetic="fp32")
        self.calls: list[float] = []

    def _infer(self, img0: Array, img1: Array, t: Array) -> Array:
        self.calls.append(float(t.item()))
        blend: Array = (1 - t[0, 0, 0, 0]) * img0 + t[0, 0, 0, 0] * img1
        return blend


def manifest_of(sizes: SizeRange, timesteps: Timesteps) -> Manifest:
    """A manifest as an export writes it."""
    return Manifest(
        name=f"test-onnx-fp32-{sizes}",
        target="onnx",
        backend="onnxruntime",
        variant="ifrnet_s",
        checkpoint={"name": "ifrnet_s", "source": "ifrnet_s.safetensors", "format": "safetensors", "sha256": BUILTIN},
        timesteps=timesteps,
        precision=Precision.FP32,
        sizes=sizes,
        scale=1.0,
        rewrites=(),
        tools={},
        details={},
        files={},
        parity=(DeviceParity(device="cpu", verdict=Verdict.PASSED),),
    )


def write_artifact(
    folder: Path, size: Size = SIZE, timesteps: Timesteps = Timesteps.ANY, *, dynamic: bool = False
) -> Path:
    """A folder with a manifest; the fixture ``blenders`` stands in for loading it."""
    largest = Size(4096, 4096)
    sizes = SizeRange(minimum=Size(16, 16), typical=size, maximum=largest) if dynamic else SizeRange.static(size)
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(manifest_of(sizes, timesteps).to_json())
    return folder


def write_sound(source: Path, target: Path) -> Path:
    """The sound of a video alone."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        stream = after.add_stream_from_template(before.streams.audio[0])
        for packet in before.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                after.mux(packet)
    return target
