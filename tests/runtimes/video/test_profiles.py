"""ICC profiles of pictures: carried where the output has them, named where not, and never followed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from runtimes.__main__ import main
from runtimes.video.stills import MAX_PROFILE, read_image, shared_profile, write_image
from tests.runtimes.video.clips import draw

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

WIDE = SRGB.replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be")).replace(b"sRGB", b"wide")
"""Of another name, and so perhaps of other colours."""


def changed(at: int, data: bytes) -> bytes:
    return WIDE[:at] + data + WIDE[at + len(data) :]


def profile(path: Path) -> bytes | None:
    with Image.open(path) as image:
        found: bytes | None = image.info.get("icc_profile")
    return found


def folder_of(folder: Path, profiles: list[bytes | None], suffix: str = ".png") -> Path:
    folder.mkdir()
    for i, each in enumerate(profiles):
        Image.fromarray(draw(i)).save(folder / f"{i}{suffix}", icc_profile=each)
    return folder


def job(artifact: Path, source: Path, target: Path, *options: str) -> int:
    return main(["video", str(source), str(target), "--artifact", str(artifact), *options])


@pytest.mark.parametrize("given", [SRGB, WIDE], ids=["srgb", "wide"])
@pytest.mark.parametrize(("before", "after"), [(".png", ".jpg"), (".jpg", ".webp"), (".webp", ".png")])
def test_pictures_carry_it(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, given: bytes
) -> None:
    source = folder_of(tmp_path / "in", [given, given], before)
    assert job(artifact, source, tmp_path / "out" / f"%d{after}") == 0
    assert [profile(path) for path in (tmp_path / "out").iterdir()] == [given] * 4
    assert "left out" not in capsys.readouterr().err


def test_pictures_of_16_bits_carry_it(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(2):
        write_image(draw(i).astype(np.uint16) * 257, tmp_path / "in" / f"{i}.png", WIDE)
    assert job(artifact, tmp_path / "in", tmp_path / "out") == 0
    assert [profile(path) for path in (tmp_path / "out").iterdir()] == [WIDE] * 4
    assert np.array_equal(read_image(tmp_path / "out" / "000001.png"), draw(0).astype(np.uint16) * 257)


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out.y4m"])
@pytest.mark.parametrize(("given", "notes"), [(SRGB, 0), (WIDE, 1)], ids=["srgb", "wide"])
def test_what_does_not_hold_it_says_so_once(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, given: bytes, notes: int
) -> None:
    """But for sRGB, which is what pictures without one are."""
    assert job(artifact, folder_of(tmp_path / "in", [given, given]), tmp_path / name) == 0
    assert capsys.readouterr().err.count("the ICC profile: left out") == notes


def test_an_animated_webp_carries_it(artifact: Path, tmp_path: Path) -> None:
    images = [Image.fromarray(draw(i)) for i in range(3)]
    images[0].save(tmp_path / "in.webp", save_all=True, append_images=images[1:], duration=80, icc_profile=WIDE)
    assert job(artifact, tmp_path / "in.webp", tmp_path / "out") == 0
    assert {profile(path) for path in (tmp_path / "out").iterdir()} == {WIDE}


@pytest.mark.parametrize(("other", "notes"), [(SRGB, 1), (None, 1), (WIDE, 0)], ids=["srgb", "none", "same"])
def test_those_of_a_pair_have_to_agree(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], other: bytes | None, notes: int
) -> None:
    source = folder_of(tmp_path / "in", [WIDE, other])
    assert job(artifact, source, tmp_path / "out") == 0
    pair = [str(source / "0.png"), str(source / "1.png"), "--artifact", str(artifact)]
    assert main(["interpolate", *pair, "-o", str(tmp_path / "middle.png")]) == 0
    assert capsys.readouterr().err.count("ICC profiles that differ") == 2 * notes
    for path in (tmp_path / "middle.png", tmp_path / "out" / "000001.png"):
        assert profile(path) == (None if notes else WIDE)


@pytest.mark.parametrize("before", [".png", ".tiff", ".jpg", ".webp"])
@pytest.mark.parametrize("after", [".png", ".jpg", ".webp"])
def test_interpolate_carries_it(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str
) -> None:
    source = folder_of(tmp_path / "in", [WIDE, WIDE], before)
    pair = [str(source / f"0{before}"), str(source / f"1{before}"), "--artifact", str(artifact)]
    assert main(["interpolate", *pair, "-o", str(tmp_path / f"middle{after}")]) == 0
    assert profile(tmp_path / f"middle{after}") == WIDE
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("given", "said"), [(SRGB, False), (WIDE, True)], ids=["srgb", "wide"])
def test_the_demonstration_is_of_gifs(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: bytes, said: bool
) -> None:
    source = folder_of(tmp_path / "in", [given, given])
    pair = [str(source / "0.png"), str(source / "1.png"), "--artifact", str(artifact)]
    assert main(["demo", *pair, "--out", str(tmp_path)]) == 0
    assert ("the ICC profile is left out" in capsys.readouterr().err) == said


@pytest.mark.parametrize(
    "given",
    [b"profile", WIDE[:200], changed(16, b"CMYK"), changed(16, b"GRAY"), changed(36, b"????"), changed(0, b"\xff" * 4)],
    ids=["short", "cut", "cmyk", "gray", "unsigned", "length"],
)
def test_what_is_no_profile_of_rgb_is_not_carried(tmp_path: Path, given: bytes) -> None:
    source = folder_of(tmp_path / "in", [given, given], ".jpg")
    assert shared_profile(sorted(source.iterdir())) == (None, True)


def test_a_large_one_is_not_carried(tmp_path: Path) -> None:
    for size, kept in ((MAX_PROFILE, True), (MAX_PROFILE + 1, False)):
        given = changed(0, size.to_bytes(4, "big")) + bytes(size - len(WIDE))
        Image.fromarray(draw(0)).save(tmp_path / "a.jpg", icc_profile=given)
        assert shared_profile([tmp_path / "a.jpg"]) == ((given, False) if kept else (None, True))
        if kept:
            write_image(draw(0), tmp_path / "a.png", given)
            assert profile(tmp_path / "a.png") == given
