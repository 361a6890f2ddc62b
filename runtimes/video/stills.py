"""Single images: Pillow for 8 bits; PyAV, where it is installed, for PNG with 16."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.errors import UsageError
from runtimes.frames import Array
from runtimes.video.errors import VideoError, require_video_packages

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_LOSSLESS: dict[str, dict[str, Any]] = {".webp": {"lossless": True}, ".png": {"compress_level": 3}}
"""Pillow's options for suffixes that keep every pixel."""

_DEEP_PNG = b"\x10"
_DEPTH_OFFSET = 24  # of the bit depth in a PNG: 8 of signature, 8 of chunk header, 8 of width and height


def read_image(path: Path) -> Array:
    """(H, W, 3) RGB, uint8; uint16 from PNG files of 16 bits. EXIF orientation is applied, transparency dropped.

    Raises:
        VideoError: missing, or not an image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not path.is_file():
        raise VideoError(f"{path} does not exist: pass an image ({', '.join(SUFFIXES)})")
    if _is_deep_png(path):
        require_video_packages()
        import av

        try:
            with av.open(str(path)) as container:
                return next(container.decode(video=0)).to_ndarray(format="rgb48le")
        except (av.error.FFmpegError, StopIteration) as error:
            reason = getattr(error, "strerror", "it holds no picture")
            raise VideoError(f"{path} cannot be read as an image: {reason}") from error
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return np.asarray(upright.convert("RGBA").convert("RGB") if upright.mode == "P" else upright.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise VideoError(f"{path} cannot be read as an image: {error}") from error


def _is_deep_png(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_DEPTH_OFFSET + 1)
    return head.startswith(b"\x89PNG") and head[_DEPTH_OFFSET:] == _DEEP_PNG


def write_image(rgb: Array, path: Path) -> None:
    """Write (H, W, 3) RGB by the suffix: lossless for .png and .webp, quality 95 for .jpg. uint16 goes to .png only.

    Raises:
        UsageError: a suffix that is not an image's, or one that cannot hold 16 bits.
    """
    from PIL import Image

    suffix = path.suffix.lower()
    check_suffix(path)
    staging = path.with_name(f".{path.name}.part{suffix}")
    try:
        if rgb.dtype == np.uint16:
            if suffix != ".png":
                raise UsageError(f"{path} cannot hold 16 bits: write .png")
            require_video_packages()
            import av

            frame = av.VideoFrame.from_ndarray(rgb, format="rgb48le")
            codec = av.CodecContext.create("png", "w")
            codec.width, codec.height, codec.pix_fmt, codec.time_base = (
                frame.width,
                frame.height,
                "rgb48be",
                Fraction(1, 25),
            )
            packets = [*codec.encode(frame.reformat(format="rgb48be")), *codec.encode(None)]
            staging.write_bytes(b"".join(bytes(packet) for packet in packets))
        else:
            options: dict[str, Any] = {"quality": 95}
            if suffix in _LOSSLESS:
                options = _LOSSLESS[suffix]
            Image.fromarray(rgb).save(staging, **options)
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def check_suffix(path: Path) -> None:
    """Raises UsageError for a file that is not an image by its name."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} does not end in {', '.join(SUFFIXES)}: name an image file")
