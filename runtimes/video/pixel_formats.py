"""Which pixel format to encode in: what a careful user of ffmpeg would choose.

Never fewer bits, less chroma or no transparency where the encoder has a format without that loss; nothing gained for
nothing; and a note names what is lost in the end.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

import av
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from runtimes.contract import Size
from runtimes.video.color import bit_depth, has_alpha, without_jpeg_name
from runtimes.video.errors import VideoError

LOSSLESS = frozenset(
    {"apng", "ffv1", "ffvhuff", "huffyuv", "libx264rgb", "magicyuv", "png", "qtrle", "rawvideo", "utvideo"}
)
"""Encoders that keep RGB as RGB; for the others RGB becomes YUV, which everything plays."""

WITH_ALPHA = frozenset(
    {
        *("apng", "ffv1", "ffvhuff", "huffyuv", "libvpx", "libvpx-vp9", "magicyuv", "png", "prores_ks", "qtrle"),
        *("rawvideo", "utvideo"),
    }
)
"""Encoders whose transparency players and FFmpeg itself show again."""

ODD_SIZES = frozenset({"ffv1", "rawvideo", "libvpx-vp9", "mjpeg", "png", "apng"})
"""Encoders that take odd sizes with subsampled chroma."""

PROFILES = MappingProxyType(
    {
        "dnxhd": {
            "yuv422p": ("dnxhr_hq", "dnxhr_sq", "dnxhr_lb"),
            "yuv422p10le": ("dnxhr_hqx",),
            "yuv444p10le": ("dnxhr_444",),
            "gbrp10le": ("dnxhr_444",),
        },
        "prores_ks": {
            "yuv422p10le": ("hq", "standard", "lt", "proxy"),
            "yuv444p10le": ("4444", "4444xq"),
            "yuva444p10le": ("4444", "4444xq"),
        },
    }
)
"""Encoder -> format -> the profiles that hold it, the default one first."""


@dataclass(frozen=True)
class Kind:
    """What a format holds. ``chroma`` is how many pixels share one, across and down; (0, 0) for grey."""

    rgb: bool
    depth: int
    chroma: tuple[int, int]
    alpha: bool

    @classmethod
    def of(cls, name: str) -> Kind:
        """Of a format by its name."""
        side = 64
        format = VideoFormat(name, side, side)
        if format.is_rgb or name == "pal8":
            return cls(True, bit_depth(format), (1, 1), name == "pal8" or has_alpha(format))
        colours = [component for component in format.components if not component.is_alpha]
        across_down = (side // colours[1].width, side // colours[1].height) if len(colours) == 3 else (0, 0)
        return cls(False, bit_depth(format), across_down, has_alpha(format))

    def fits(self, size: Size) -> bool:
        """Whether chroma divides the size."""
        return all(side % max(1, step) == 0 for side, step in zip((size.width, size.height), self.chroma, strict=True))


def choose_format(
    native: VideoFormat, encoder: str, profile: str | None = None, *, alpha: bool = False
) -> tuple[str, str]:
    """The pixel format to encode in, and what that changes, for people; empty when nothing but the packing does.

    Args:
        native: the source's, at the size of the frames.
        encoder: FFmpeg's name.
        profile: the encoder's, when the user chose one.
        alpha: transparency is to be kept.

    Raises:
        VideoError: the encoder takes none that keeps the picture.
    """
    own = without_jpeg_name(native.name)
    offered = [fmt.name for fmt in av.codec.Codec(encoder, "w").video_formats or []]
    if not offered:
        return own, ""
    size, source = Size(native.width, native.height), Kind.of(own)
    wanted = source if alpha else Kind(source.rgb, source.depth, source.chroma, alpha=False)
    if source.rgb and encoder not in LOSSLESS:
        wanted = Kind(False, source.depth, (2, 2), wanted.alpha)
    if encoder not in ODD_SIZES and not wanted.fits(size):
        wanted = Kind(False, wanted.depth, (1, 1), wanted.alpha)
    usable = [name for name in offered if _is_usable(name, encoder, profile, size, own)]
    if not usable:
        raise VideoError(
            f"{encoder} takes {', '.join(offered)}; none fits {native.name} at {size}: pass --pix-fmt or another "
            "--encoder"
        )
    found = min(usable, key=lambda name: (*_cost(wanted, Kind.of(name)), name != own, name.endswith("be")))
    return found, _changes(native.name, source, found, size, alpha=alpha)


def nearest(name: str, offered: Iterable[str]) -> str:
    """Of these pixel formats the one that loses least of a picture in format ``name``, then the one that adds least."""
    wanted = Kind.of(name)
    return min(offered, key=lambda other: _cost(wanted, Kind.of(other)))


def default_profile(encoder: str, format: str) -> str | None:
    """The profile to ask an encoder for, where its own default does not take the format."""
    if encoder not in PROFILES:
        return None
    return next(iter(PROFILES[encoder].get(format, ())), None)


def _is_usable(name: str, encoder: str, profile: str | None, size: Size, native: str) -> bool:
    if not _can_be_made(name, native):
        return False
    if profile is not None and encoder in PROFILES:
        holding = {each for names in PROFILES[encoder].values() for each in names}
        if profile in holding and profile not in PROFILES[encoder].get(name, ()):
            return False
    return encoder in ODD_SIZES or Kind.of(name).fits(size)


@functools.cache
def _can_be_made(name: str, native: str) -> bool:
    """Whether swscale makes the format from the source's and from RGB: formats of hardware it does not."""
    if name.startswith("yuvj"):
        return False
    try:
        for source in ("rgb24", native):
            VideoFrame(64, 64, source).reformat(format=name)
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def _cost(wanted: Kind, offered: Kind) -> tuple[float, ...]:
    """What is worse comes first: transparency, colour, the model, bits, chroma; then what is gained for nothing."""
    grey = (0, 0)
    sharing = [max(1, o) / max(1, w) for o, w in zip(offered.chroma, wanted.chroma, strict=True)]
    return (
        wanted.alpha and not offered.alpha,
        wanted.chroma != grey and offered.chroma == grey,
        wanted.rgb != offered.rgb,
        max(0, wanted.depth - offered.depth),
        sum(max(0.0, ratio - 1) for ratio in sharing) if wanted.chroma != grey else 0,
        offered.alpha and not wanted.alpha,
        sum(max(0.0, 1 / ratio - 1) for ratio in sharing) + (wanted.chroma == grey and offered.chroma != grey),
        max(0, offered.depth - wanted.depth),
    )


def changes_of(source: Kind, after: Kind) -> list[str]:
    """What another format changes, for people; nothing where it is another packing."""
    changes = []
    if after.depth != source.depth:
        changes.append(f"{after.depth} bits and not {source.depth}")
    if source.rgb and not after.rgb:
        changes.append("RGB becomes YUV")
    if after.chroma != source.chroma:
        changes.append(f"chroma {_sampling(after)} and not {_sampling(source)}")
    return changes


def _changes(name: str, source: Kind, found: str, size: Size, *, alpha: bool) -> str:
    after = Kind.of(found)
    changes = changes_of(source, after)
    if not source.fits(size) and source.chroma != after.chroma and not source.rgb:
        changes.insert(0, f"{size} is odd")
    if alpha and not after.alpha:
        changes.append("without transparency")
    return f"{name} is encoded as {found}: {', '.join(changes)}" if changes else ""


def _sampling(kind: Kind) -> str:
    names = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1", (4, 4): "4:1:0"}
    return names.get(kind.chroma, "none")
