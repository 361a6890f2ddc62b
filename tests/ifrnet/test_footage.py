"""The catalogue, fetching from archives, decoding from the middle, and the triplet rules."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from ifrnet.footage import catalogue, download, triplets, video
from ifrnet.footage.catalogue import MEDIA, PACKAGES, Use, may_train
from ifrnet.footage.errors import FootageError
from ifrnet.footage.triplets import Triplet, differences, find_cuts, find_triplets, is_fair, spread


def test_evaluation_footage_is_never_trained_on() -> None:
    film = MEDIA["bbb"]
    kept = [i for i in range(14315) if not may_train(film, i)]
    assert set(range(9507 - 24, 10636 + 25)) <= set(kept)
    assert set(range(285)) | set(range(11757, 14315)) <= set(kept)
    assert may_train(film, 9482)
    assert may_train(film, 10661)
    for name in ("phone", "cup", "run"):
        assert not may_train(MEDIA[name], 0)
        assert MEDIA[name] not in catalogue.training_videos()
    assert {m.name for m in catalogue.evaluation_clips()} == {"phone", "cup", "run", "bbb"}


def test_the_trailer_is_trained_on_without_titles_and_across_no_cut() -> None:
    trailer = MEDIA["sintel"]
    for shown in (0, 240, 420, 1000, 1200, 1252):  # black, a title, black, the logo, credits, black
        assert not may_train(trailer, shown)
    for before in (333, 403):  # cuts that are no outliers
        assert not may_train(trailer, before)
        assert not may_train(trailer, before + 1)
    used = [i for i in range(1253) if may_train(trailer, i)]
    assert 700 < len(used) < 850


def test_rows_are_consistent() -> None:
    for media in MEDIA.values():
        assert media.package in PACKAGES
        assert len(media.sha256) == 64
        assert "GPL" not in media.licence or media.use is Use.EVALUATE
        assert media.attribution
    assert len({m.sha256 for m in MEDIA.values()}) == len(MEDIA)


def sdist(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A catalogue of two files of one made-up sdist: a zip inside it, and a gzipped member."""
    inner, plain = b"inside the zip", b"the video"
    zipped, packed = io.BytesIO(), gzip.compress(plain, mtime=0)
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("deep/a.mp4", inner)
    members = {"toy-1/a.zip": zipped.getvalue(), "toy-1/b.mp4.gz": packed}
    toy = replace(PACKAGES["moviepy"], name="toy", version="1", file_stem="toy-1")
    a = replace(
        MEDIA["box"], name="a", package="toy", member="toy-1/a.zip!deep/a.mp4", sha256=hashlib.sha256(inner).hexdigest()
    )
    b = replace(
        MEDIA["box"], name="b", package="toy", member="toy-1/b.mp4.gz", sha256=hashlib.sha256(packed).hexdigest()
    )
    monkeypatch.setattr(download, "PACKAGES", MappingProxyType({"toy": toy}))
    monkeypatch.setattr(download, "MEDIA", MappingProxyType({"a": a, "b": b}))
    return members


def test_media_come_out_of_an_archive_at_hand(tmp_path: Path, rows: dict[str, bytes]) -> None:
    sdist(tmp_path / "toy-1.tar.gz", rows)
    found = download.fetch_all(["a", "b"], cache=tmp_path / "cache", archives=tmp_path)
    assert found["a"].read_bytes() == b"inside the zip"
    assert found["b"].read_bytes() == b"the video"
    assert found["b"].suffix == ".mp4"
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == sorted(p.name for p in found.values())
    (tmp_path / "toy-1.tar.gz").unlink()
    assert download.fetch("a", cache=tmp_path / "cache") == found["a"]  # cached: nothing is asked for again


def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path, rows: dict[str, bytes]) -> None:
    sdist(tmp_path / "toy-1.tar.gz", {**rows, "toy-1/b.mp4.gz": b"another"})
    with pytest.raises(FootageError, match="has sha256"):
        download.fetch("b", cache=tmp_path / "cache", archives=tmp_path)
    assert not any((tmp_path / "cache").iterdir())


def test_an_archive_without_the_member_says_so(tmp_path: Path, rows: dict[str, bytes]) -> None:
    sdist(tmp_path / "toy-1.tar.gz", {"toy-1/other": b""})
    with pytest.raises(FootageError, match=r"holds no toy-1/b\.mp4\.gz; is it version 1"):
        download.fetch("b", cache=tmp_path / "cache", archives=tmp_path)


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(FootageError, match="no footage named films; there is: bbb, box"):
        download.fetch("films", cache=tmp_path)


@pytest.mark.parametrize(
    ("archive", "tool"),
    [
        (catalogue.Archive.SDIST, sys.executable),
        (catalogue.Archive.DEB, "apt-get"),
        (catalogue.Archive.DEB_SOURCE, "apt-get"),
    ],
)
def test_a_package_that_cannot_be_had_says_how_else(
    tmp_path: Path, rows: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, archive: catalogue.Archive, tool: str
) -> None:
    commands = []

    def failing(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, "", "noise\nno such package")

    toy = replace(PACKAGES["moviepy"], name="toy", version="1", file_stem="toy-1", archive=archive)
    monkeypatch.setattr(download, "PACKAGES", MappingProxyType({"toy": toy}))
    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(FootageError, match=r"cannot fetch toy 1: .*no such package; get its archive \(toy-1\*\)"):
        download.fetch("a", cache=tmp_path)
    assert commands[0][0] == tool
    if archive is not catalogue.Archive.DEB_SOURCE:
        assert any("toy" in part and part.endswith("=1") for part in commands[0])


def test_a_source_package_is_fetched_without_a_change_to_the_systems_lists(
    tmp_path: Path, rows: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def apt(command: list[str], cwd: Path | None = None, **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        if "source" in command:
            assert cwd is not None
            assert (cwd / "sources.list").read_text() == "deb-src mirror/debian stable main\n"
            sdist(cwd / "toy_1.orig.tar.gz", rows)
            (cwd / "toy_1.dsc").write_text("a description")
        lines = "deb-src mirror/debian stable main\n" if "indextargets" in command else ""
        return subprocess.CompletedProcess(command, 0, lines, "")

    toy = replace(
        PACKAGES["moviepy"], name="toy", version="1", file_stem="toy_1.orig.tar", archive=catalogue.Archive.DEB_SOURCE
    )
    monkeypatch.setattr(download, "PACKAGES", MappingProxyType({"toy": toy}))
    monkeypatch.setattr(subprocess, "run", apt)
    assert download.fetch("b", cache=tmp_path).read_bytes() == b"the video"
    assert [command[1] for command in commands] == ["indextargets", "update", "source"]
    for command in commands[1:]:
        for setting in ("Dir::Etc::SourceList", "Dir::Etc::SourceParts", "Dir::State::Lists", "Dir::Cache"):
            assert any(part.startswith(f"{setting}=") for part in command)
    assert "toy=1" in commands[-1]
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in tmp_path.glob("b-*")]  # no scratch left


def test_the_cache_follows_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IFRNET_CACHE", str(tmp_path))
    assert download.cache_folder() == tmp_path / "footage"


def scene(seed: int, count: int, speed: float) -> list[NDArray[np.uint8]]:
    """A textured square that moves to the right."""
    rng = np.random.default_rng(seed)
    square = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    frames = []
    for index in range(count):
        frame = np.full((90, 160, 3), 40 * (seed + 1), dtype=np.uint8)
        left = int(10 + speed * index)
        frame[20:68, left : left + 48] = square
        frames.append(frame)
    return frames


def test_cuts_are_outliers_among_the_differences() -> None:
    frames = scene(0, 8, 4) + scene(3, 8, 4)
    steps = differences([triplets.small_gray(frame) for frame in frames])
    assert np.flatnonzero(find_cuts(steps)).tolist() == [7]
    found = find_triplets(frames)
    assert all(t.last <= 7 or t.first >= 8 for t in found)
    assert Triplet(first=0, middle=1, last=2) in found
    assert len(found) == 12


def test_fast_motion_is_no_cut() -> None:
    steps = np.full(20, 0.2, dtype=np.float32)
    assert not find_cuts(steps).any()


def test_still_and_uneven_triplets_are_skipped() -> None:
    assert find_triplets(scene(0, 6, 0)) == []
    frames = scene(0, 6, 4)
    frames[3] = frames[2]  # a repeated frame
    found = find_triplets(frames)
    assert all(not {2, 3} <= {t.first, t.middle, t.last} for t in found)


def test_wide_triplets_are_even_in_every_step() -> None:
    wide = Triplet(first=0, middle=1, last=4)
    none = np.zeros(6, dtype=np.bool_)
    even = np.array([10, 12, 9, 11, 10, 10], dtype=np.float32) / 255.0
    assert is_fair(even, none, wide)
    dropped, repeated = even.copy(), even.copy()
    dropped[2] *= 2.5
    repeated[3] = 0.0
    assert not is_fair(dropped, none, wide)
    assert not is_fair(repeated, none, wide)
    assert is_fair(repeated, none, Triplet(first=0, middle=1, last=3))
    cut = none.copy()
    cut[2] = True
    assert not is_fair(even, cut, wide)


def test_t_is_the_share_of_the_way() -> None:
    assert Triplet(first=4, middle=5, last=8).t == 0.25


def test_spread_keeps_both_ends() -> None:
    every = [Triplet(first=i, middle=i + 1, last=i + 2) for i in range(50)]
    chosen = spread(every, 5)
    assert (chosen[0], chosen[-1], len(chosen)) == (every[0], every[-1], 5)
    assert spread(every[:3], 5) == every[:3]
    assert spread(every, 1) == every[:1]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(24), options={"g": "10", "bf": "2", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for frame in scene(0, 16, 4) + scene(3, 16, 4):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    return path


def test_reading_from_the_middle_gives_the_same_frames(clip: Path) -> None:
    whole = list(video.read_frames(clip))
    assert len(whole) == 32
    for start, stop in ((1, 4), (13, 20), (31, 32)):
        part = list(video.read_frames(clip, start=start, stop=stop))
        assert len(part) == stop - start
        assert all(np.array_equal(a, b) for a, b in zip(part, whole[start:stop], strict=True))
    assert next(iter(video.read_frames(clip, rows=(10, 50)))).shape == (40, 160, 3)


def test_evaluation_triplets_stay_inside_their_range(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(MEDIA["bbb"], evaluation=(5, 25))
    monkeypatch.setattr(triplets, "MEDIA", MappingProxyType({"bbb": row}))
    found = triplets.evaluation_triplets("bbb", clip, 6)
    assert len(found) == 6
    assert all(5 <= t.first < t.middle < t.last <= 25 for t in found)
    assert all(t.last <= 15 or t.first >= 16 for t in found)  # the cut lies between frames 15 and 16
    frames = triplets.frames_of("bbb", clip, found)
    whole = list(video.read_frames(clip))
    assert all(np.array_equal(frame, whole[index]) for index, frame in frames.items())


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(FootageError, match="cannot be read as a video"):
        next(video.read_frames(path))
    with pytest.raises(FootageError, match="cannot be read as a video"):
        next(video.read_frames(tmp_path / "missing.mp4"))
