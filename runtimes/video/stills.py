"""Single images: Pillow for 8 bits; PyAV, where it is installed, for PNG with 16."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.atomic import replacing
from runtimes.errors import UsageError
from runtimes.frames import Array, to_frame, to_tensor
from runtimes.video.errors import VideoError, require_video_packages

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

MAX_PIXELS = 1 << 26
"""Of one picture: 8192x8192. A file of a few kilobytes can declare gigabytes; nothing larger is decoded."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "TGA", "GIF", "JPEG2000", "AVIF")
"""What Pillow may take a file for. It knows formats that run programs (EPS) or open other files."""

_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError, struct.error)
"""What Pillow raises for damaged files; it has no class of its own."""

_LOSSLESS: dict[str, dict[str, Any]] = {".webp": {"lossless": True, "exact": True}, ".png": {"compress_level": 3}}
"""Pillow's options for suffixes that keep every pixel."""

MAX_PROFILE = 1 << 20
"""Bytes of an ICC profile that is kept. Pillow reads no PNG with a larger one."""

LOST_PROFILES = "ICC profiles that differ or cannot be kept"

_PROFILE_HEADER = 128

_DEEP_PNG = b"\x10"
_DEPTH_OFFSET = 24  # of the bit depth in a PNG: 8 of signature, 8 of chunk header, 8 of width and height
_AFTER_HEADER = 33  # where the second chunk of a PNG begins


def read_image(path: Path, *, alpha: bool = False) -> Array:
    """(H, W, 3) RGB, uint8; uint16 from PNG files of 16 bits and from 16 bits of gray. EXIF orientation is applied,
    transparency dropped.

    With ``alpha`` (H, W, 4), opaque where the file has no transparency.

    Raises:
        VideoError: missing, not an image, or larger than what is decoded; the size is read before.
    """
    from PIL import ImageOps

    if not path.is_file():
        raise VideoError(f"{path} does not exist: pass an image ({', '.join(SUFFIXES)})")
    with opened(path) as image:
        if not _is_deep_png(path):
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith(("I", "F")):  # Pillow's conversion turns all beyond 255 into white
                return _deep_gray(np.asarray(upright), path, alpha)
            if alpha:
                return np.asarray(upright.convert("RGBA"))
            return np.asarray(upright.convert("RGBA").convert("RGB") if upright.mode == "P" else upright.convert("RGB"))
    return _read_deep_png(path, "rgba64le" if alpha else "rgb48le")


def read_8_bits(path: Path) -> Array:
    """(H, W, 3) uint8 RGB of an image file; 16 bits are rounded.

    Raises:
        VideoError: missing, not an image, or larger than what is decoded.
    """
    image = read_image(path)
    return image if image.dtype == np.uint8 else to_frame(to_tensor(image), np.dtype(np.uint8))


def may_be_transparent(path: Path) -> bool:
    """Whether a file has a channel or a colour for transparency, by its header.

    Raises:
        VideoError: not an image.
    """
    with opened(path) as image:
        return bool(image.has_transparency_data)


def profile_of(image: Any) -> bytes | None:
    """The ICC profile of a Pillow image, None where it has none; empty where it cannot be kept: too large, of grey or
    CMYK, which become RGB here, or no profile at all. It is carried, and never followed."""
    profile = image.info.get("icc_profile")
    if not profile:
        return None
    if not isinstance(profile, bytes) or not _PROFILE_HEADER <= len(profile) <= MAX_PROFILE:
        return b""
    whole = int.from_bytes(profile[:4], "big") == len(profile)
    return profile if whole and profile[16:20] == b"RGB " and profile[36:40] == b"acsp" else b""


def is_plain(profile: bytes | None) -> bool:
    """Whether what :func:`profile_of` gave changes nothing: pictures without one are sRGB."""
    return profile is None or b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile


def shared_profile(paths: Sequence[Path]) -> tuple[bytes | None, bool]:
    """The ICC profile that all images have, to be kept, and whether there are others, which are lost.

    Raises:
        VideoError: not an image.
    """
    first: bytes | None = None
    alike = plain = True
    for index, path in enumerate(paths):
        with opened(path) as image:
            profile = profile_of(image)
        first = profile if index == 0 else first
        alike, plain = alike and profile == first, plain and is_plain(profile)
    kept = first if alike and first else None
    return kept, not plain and kept is None


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A Pillow image of one of :data:`_FORMATS`, not larger than what is decoded.

    Raises:
        VideoError: not such an image, or what is read from it in the block is damaged.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is below
            image = Image.open(path, formats=_FORMATS)
        with image:
            check_pixels(*image.size, path)
            yield image
    except VideoError:
        raise
    except Image.DecompressionBombError as error:
        raise VideoError(f"{path} declares a size that is not decoded: {error}") from error
    except _DAMAGE as error:
        raise VideoError(f"{path} cannot be read as an image: {error}") from error


def check_pixels(width: int, height: int, path: object) -> None:
    """Raises VideoError for pictures that are larger than what is decoded."""
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{path} is {width}x{height}, {width * height / 1e6:.0f} million pixels; expected at most "
            f"{MAX_PIXELS / 1e6:.0f} million: scale it down first"
        )


def _deep_gray(values: Array, path: Path, alpha: bool) -> Array:
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise VideoError(
            f"{path} holds {values.dtype} from {values.min()} to {values.max()}; expected 8 or 16 bits: convert it"
        )
    gray = values.astype(np.uint16)
    return np.stack([gray, gray, gray, *([np.full_like(gray, 65535)] if alpha else [])], axis=2)


def _read_deep_png(path: Path, format: str) -> Array:
    require_video_packages()
    import av

    codec = av.CodecContext.create("png", "r")
    try:
        frames = [*codec.decode(av.Packet(path.read_bytes())), *codec.decode(None)]
    except av.error.FFmpegError as error:
        raise VideoError(f"{path} cannot be read as an image: {error.strerror}") from error
    if not frames:
        raise VideoError(f"{path} cannot be read as an image: it holds no picture")
    return frames[0].to_ndarray(format=format)


def _is_deep_png(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_DEPTH_OFFSET + 1)
    return head.startswith(b"\x89PNG") and head[_DEPTH_OFFSET:] == _DEEP_PNG


def write_image(rgb: Array, path: Path, profile: bytes | None = None) -> None:
    """Write (H, W, 3) RGB, or 4 with alpha (not in .jpg), by the suffix: lossless for .png and .webp, quality 95 for
    .jpg. uint16 goes to .png only. ``profile`` is of ICC. The file is there whole or not at all.

    Raises:
        UsageError: a suffix that is not an image's, one that cannot hold 16 bits, or a folder that does not exist.
    """
    check_output(path, rgb)
    with replacing(path) as partial:
        save_image(rgb, partial, profile)


def check_output(path: Path, rgb: Array) -> None:
    """Raises UsageError where :func:`write_image` could not write a picture like ``rgb``: before it is made."""
    check_suffix(path, deep=rgb.dtype == np.uint16)
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} does not exist: make that folder first")


def save_image(rgb: Array, path: Path, profile: bytes | None = None) -> None:
    """As :func:`write_image`, straight to the file, and without checks."""
    from PIL import Image

    if rgb.dtype == np.uint16:
        require_video_packages()
        path.write_bytes(_with_profile(_deep_png(rgb), profile))
    else:
        options = _LOSSLESS.get(path.suffix.lower(), {"quality": 95})
        Image.fromarray(rgb).save(path, icc_profile=profile, **options)


def _deep_png(rgb: Array) -> bytes:
    """16 bits, which Pillow does not write in colour."""
    import av

    source, stored = ("rgba64le", "rgba64be") if rgb.shape[2] == 4 else ("rgb48le", "rgb48be")
    frame = av.VideoFrame.from_ndarray(rgb, format=source)
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = frame.width, frame.height, stored, Fraction(1, 25)
    packets = [*codec.encode(frame.reformat(format=stored)), *codec.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def _with_profile(png: bytes, profile: bytes | None) -> bytes:
    """FFmpeg's encoder writes none that PyAV could give it."""
    if profile is None:
        return png
    body = b"iCCPICC Profile\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_AFTER_HEADER] + chunk + png[_AFTER_HEADER:]


def check_suffix(path: Path, *, deep: bool = False) -> None:
    """Raises UsageError for a file that is not an image by its name, or cannot hold 16 bits where it is to."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} does not end in {', '.join(SUFFIXES)}: name an image file")
    if deep and path.suffix.lower() != ".png":
        raise UsageError(f"{path} cannot hold 16 bits: write .png")
