"""What a video says beside its pixels: the display it was graded on, its light levels, where chroma is sampled.

PyAV writes no side data of streams. These encoders write it into their own bitstream when told to, which is where
players look first; for the others it is named as lost.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import av
import av.logging
from av.container import InputContainer
from av.video.frame import VideoFrame

from runtimes.video.containers import python_log
from runtimes.video.pyav_versions import side_data
from runtimes.video.stills import is_plain

_LOCATIONS = ("left", "center", "topleft", "top", "bottomleft", "bottom")

_MASTERING, _LIGHT = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"

_LOST = MappingProxyType(
    {
        "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
        "DYNAMIC_HDR_VIVID": "HDR Vivid metadata",
        "DOVI_RPU_BUFFER": "Dolby Vision metadata",
        "DOVI_METADATA": "Dolby Vision metadata",
        "AMBIENT_VIEWING_ENVIRONMENT": "the ambient viewing environment",
        "ICC_PROFILE": "the ICC profile",
        "STEREO3D": "the stereoscopic layout",
        "SPHERICAL": "the spherical projection",
        "S12M_TIMECODE": "timecodes of frames",
        "AFD": "the active format description",
        "PANSCAN": "pan and scan",
    }
)
"""Side data of frames -> what it is, where nothing here writes it."""

_LOST_OF_STREAMS = MappingProxyType(
    {
        "dovi": "Dolby Vision metadata",
        "spherical": "the spherical projection",
        "stereo3d": "the stereoscopic layout",
        "icc": "the ICC profile",
        "ambient": "the ambient viewing environment",
        "frame cropping": "the crop that hides the picture's edges",
    }
)
"""How FFmpeg's description of a stream's side data begins -> what it is."""

_CAPTIONS = frozenset({"libx264", "libx265", "h264_nvenc", "hevc_nvenc", "h264_qsv", "mpeg2video"})
"""Encoders that write the closed captions of the original frames."""


@dataclass(frozen=True, kw_only=True)
class Mastering:
    """SMPTE ST 2086. ``points`` are x and y of red, green, blue and white; ``luminance`` low and high in cd/m2."""

    points: tuple[tuple[float, float], ...]
    luminance: tuple[float, float]

    @classmethod
    def read(cls, data: bytes) -> Mastering | None:
        """From FFmpeg's AVMasteringDisplayMetadata; None when it says only a part."""
        numbers = struct.unpack("=22i", data[:88])
        values = [a / b if b else 0.0 for a, b in zip(numbers[:20:2], numbers[1:20:2], strict=True)]
        if not (numbers[20] and numbers[21]):
            return None
        return cls(points=tuple(zip(values[:8:2], values[1:8:2], strict=True)), luminance=(values[8], values[9]))

    def as_steps(self) -> str:
        """As x264 and x265 take it: steps of 0.00002, and of 0.0001 cd/m2."""
        names = self._named(lambda x: str(round(x * 50000)))
        low, high = (round(x * 10000) for x in self.luminance)
        return f"{names}L({high},{low})"

    def as_decimals(self) -> str:
        """As SVT-AV1 takes it."""
        return f"{self._named(lambda x: f'{x:.5f}')}L({self.luminance[1]:.4f},{self.luminance[0]:.4f})"

    def _named(self, form: Any) -> str:
        red, green, blue, white = self.points
        order = (("G", green), ("B", blue), ("R", red), ("WP", white))
        return "".join(f"{name}({form(x)},{form(y)})" for name, (x, y) in order)


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a video says beside pixels and colour tags.

    Attributes:
        chroma: where chroma is sampled, by FFmpeg's name, or empty.
        mastering: of the display it was graded on.
        light: largest and average light level, in cd/m2.
        captions: frames carry closed captions.
        profile: the ICC profile of pictures, which pictures can carry on.
        lost: what nothing here can write, for people.
    """

    chroma: str = ""
    mastering: Mastering | None = None
    light: tuple[int, int] | None = None
    captions: bool = False
    profile: bytes | None = None
    lost: tuple[str, ...] = ()

    @classmethod
    def of(cls, container: InputContainer, index: int, frames: Iterable[VideoFrame]) -> Extras:
        """From the first frames of a video, and what its container says of stream ``index``."""
        found: dict[str, bytes] = {}
        for frame in frames:
            found = side_data(frame) | found
        chroma, streams = _described(container, index)
        light = struct.unpack("=2I", found[_LIGHT][:8]) if _LIGHT in found else None
        names = [_LOST[name] for name in found if name in _LOST] + streams
        return cls(
            chroma=chroma,
            mastering=Mastering.read(found[_MASTERING]) if _MASTERING in found else None,
            light=None if light is None else (light[0], light[1]),
            captions="A53_CC" in found,
            lost=tuple(dict.fromkeys(names)),
        )

    def options(self, encoder: str, asked: Mapping[str, str]) -> dict[str, str]:
        """Options by which the encoder writes these, beside those that were asked for."""
        options = dict(asked)
        if self.chroma and "chroma_sample_location" not in asked:
            options["chroma_sample_location"] = self.chroma
        if encoder not in _WRITERS:
            return options
        name, mastering, light = _WRITERS[encoder]
        parts = [asked[name]] if name in asked else []
        if self.mastering is not None and mastering not in asked.get(name, ""):
            text = self.mastering.as_decimals() if encoder == "libsvtav1" else self.mastering.as_steps()
            parts.append(f"{mastering}={text}")
        if self.light is not None and light not in asked.get(name, ""):
            parts.append(f"{light}={self.light[0]},{self.light[1]}")
        return options | ({name: ":".join(parts)} if parts else {})

    def losses(self, encoder: str | None, *, holds_profile: bool = False) -> list[str]:
        """What the output will not have; ``encoder`` is None for outputs of pictures."""
        names = list(self.lost) + ["the ICC profile"] * (not holds_profile and not is_plain(self.profile))
        if encoder not in _WRITERS:
            names += ["the mastering display"] * (self.mastering is not None)
            names += ["content light levels"] * (self.light is not None)
        return names + ["closed captions"] * (self.captions and encoder not in _CAPTIONS)


_WRITERS = MappingProxyType(
    {
        "libx265": ("x265-params", "master-display", "max-cll"),
        "libx264": ("x264-params", "mastering-display", "cll"),
        "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
    }
)
"""Encoder -> its option, and the names of mastering display and light levels in it."""


def _described(container: InputContainer, index: int) -> tuple[str, list[str]]:
    """Chroma location and side data of a stream, from FFmpeg's description: PyAV has neither."""
    av.logging.set_libav_level(av.logging.VERBOSE)
    try:
        with python_log(av.logging.VERBOSE):
            text: str = container.dumps_format()  # type: ignore[attr-defined]
    finally:
        av.logging.set_libav_level(av.logging.INFO)
    own = re.split(r"^\s*Stream #", text, flags=re.MULTILINE)
    mine = next((part for part in own if re.match(rf"0:{index}\b", part)), "")
    line, _, rest = mine.partition("\n")
    words = re.findall(r"[a-z]+", " ".join(re.findall(r"\(([^()]*)\)", line)))
    chroma = next((word for word in words if word in _LOCATIONS), "")
    _, _, side = rest.partition("Side data:")
    names = [name for start, name in _LOST_OF_STREAMS.items() if re.search(rf"^\s*{start}", side, re.I | re.MULTILINE)]
    return chroma, names
