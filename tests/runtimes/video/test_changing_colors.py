"""A video whose colours change their meaning on the way, as where broadcasts are joined."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from runtimes.__main__ import main
from runtimes.video.color import Color, Converter
from runtimes.video.source import SourceFrame, VideoSource
from tests.runtimes.video.clips import BT709, Clip, draw, even, write_clip

BT601 = Color(matrix=6, full=False, primaries=1, transfer=1)

COUNT = 6
"""Frames of a part."""


def joined(path: Path, *colors: Color, pixel_format: str = "yuv444p") -> Path:
    """Parts of one stream, one after the other."""
    data = b""
    for first, color in zip(range(0, COUNT * len(colors), COUNT), colors, strict=True):
        clip = Clip(
            times=even(25, COUNT, start=Fraction(first, 25)),
            pixel_format=pixel_format,
            color=color,
            options=(("qp", "0"), ("preset", "ultrafast"), ("bf", "0")),
            pictures=functools.partial(lambda index, first: draw(first + index), first=first),
        )
        data += write_clip(path.with_name(f"part{first}.ts"), clip).read_bytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("first", "second", "pixel_format", "said"),
    [
        (BT601, BT709, "yuv444p", "to BT.709, limited range at 0.240 s, which is converted to BT.601, limited range"),
        (BT709, BT601, "yuv444p10le", "to BT.601, limited range at 0.240 s, which is converted to BT.709"),
        (BT709, replace(BT709, full=True), "yuv444p", "to BT.709, full range at 0.240 s, which is converted to BT.709"),
        (replace(BT709, full=True), BT601, "yuv420p", "to BT.601, limited range at 0.240 s, which is converted to"),
    ],
)
def test_matrix_and_range_become_those_of_the_first_frame(
    tmp_path: Path, first: Color, second: Color, pixel_format: str, said: str
) -> None:
    notes: list[str] = []
    source = VideoSource(str(joined(tmp_path / "in.ts", first, second, first, pixel_format=pixel_format)), notes.append)
    assert source.info.color == first
    frames = list(source.frames())
    source.close()
    assert [frame.time for frame in frames] == even(25, 3 * COUNT)[:-1]
    assert {Color.of(frame.native) for frame in frames if frame.native is not None} == {first}
    assert max(errors(source, frames)) < (3 if pixel_format == "yuv420p" else 1)
    assert len(notes) == 1
    assert said in notes[0]


def errors(source: VideoSource, frames: Sequence[SourceFrame]) -> list[float]:
    """By how much of 255 each frame differs from what was drawn."""
    converter, found = Converter(source.info.color), []
    for index, frame in enumerate(frames):
        assert frame.native is not None
        rgb = converter.to_rgb(frame.native)
        found.append(float(np.abs(rgb / (257 if rgb.dtype == np.uint16 else 1) - draw(index)).mean()))
    return found


def test_hdr_within_a_video_is_named(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hdr = Color(matrix=9, full=False, primaries=9, transfer=16)
    source, target = joined(tmp_path / "in.ts", BT709, hdr, pixel_format="yuv444p10le"), tmp_path / "out.mkv"
    assert main(["video", str(source), str(target), "--artifact", str(artifact), "--encoder", "ffv1"]) == 0
    said = capsys.readouterr().err
    assert said.count("changes to BT.2020, limited range at 0.240 s, which is converted to BT.709, limited range") == 1
    assert said.count("changes its colour primaries and transfer at 0.240 s, which is not converted") == 1
    made = VideoSource(str(target), lambda _: None)
    assert max(errors(made, list(made.frames())[::2])) < 1
    made.close()
