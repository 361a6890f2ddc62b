"""The artifact folder: what is written comes back, what has changed is refused, and nothing is left half-way."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.artifact import (
    MANIFEST,
    DeviceParity,
    Manifest,
    ParityResult,
    describe_files,
    open_artifact,
    read_manifest,
)
from runtimes.contract import Precision, Size, SizeRange, Timesteps, Verdict
from runtimes.errors import ArtifactError, UsageError
from runtimes.staged_folder import check_destination, staged_folder
from tests.runtimes.refused_files import manifest, refused_manifests

WEIGHTS = b"weights" * 100


def manifest_for(folder: Path) -> Manifest:
    result = ParityResult(
        size=Size(64, 48),
        t=0.5,
        max_error=1e-5,
        mean_error=1e-6,
        psnr=math.inf,
        ssim=1.0,
        worst=(1, 2, 0),
        median_flow=9.0,
    )
    passed = DeviceParity(
        device="cpu",
        verdict=Verdict.PASSED,
        arithmetic="fp32",
        max_error_limit=2e-4,
        psnr_limit=80.0,
        results=(result,),
    )
    return Manifest(
        name="m",
        target="onnx",
        backend="onnxruntime",
        variant="ifrnet_s",
        checkpoint={"name": "m", "sha256": "00", "provenance": {"steps": 3}},
        timesteps=Timesteps.MIDDLE,
        precision=Precision.FP32,
        sizes=SizeRange(minimum=Size(32, 32), typical=Size(64, 48), maximum=Size(128, 128)),
        scale=0.5,
        rewrites=("split_resblock",),
        tools={"torch": "2"},
        details={"layers": 3},
        files=describe_files(folder),
        parity=(passed, DeviceParity(device="cuda:0", verdict=Verdict.NOT_RUN, reason="no GPU")),
        created="2026-01-01T00:00:00+00:00",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An artifact that is whole."""
    path = tmp_path / "artifact"
    path.mkdir()
    (path / "model.bin").write_bytes(WEIGHTS)
    (path / "model.param").write_text("7767517\n")
    (path / MANIFEST).write_text(manifest_for(path).to_json(), encoding="utf-8")
    return path


@pytest.fixture
def edit(folder: Path) -> Callable[..., None]:
    """Change one entry of the manifest, found by its keys."""

    def change(*keys: Any, value: Any) -> None:
        data = json.loads((folder / MANIFEST).read_text())
        place = data
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        (folder / MANIFEST).write_text(json.dumps(data))

    return change


def refused(folder: Path, match: str) -> None:
    with pytest.raises(ArtifactError, match=match) as caught:
        open_artifact(folder)
    assert "\n" not in str(caught.value)


def test_what_is_written_comes_back(folder: Path) -> None:
    artifact = open_artifact(str(folder))
    assert artifact.manifest == manifest_for(folder)
    assert artifact.path(".bin") == folder / "model.bin"
    assert artifact.data(".bin") == WEIGHTS
    assert artifact.manifest.parity_on("cpu").verdict is Verdict.PASSED
    assert artifact.manifest.parity_on("vulkan:0").verdict is Verdict.NOT_RUN
    assert "never compared" in artifact.manifest.parity_on("vulkan:0").reason


def test_the_manifest_is_strict_json(folder: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((folder / MANIFEST).read_text(), parse_constant=refuse)  # no Infinity, no NaN


def test_a_file_by_its_ending(folder: Path) -> None:
    artifact = open_artifact(folder)
    with pytest.raises(ArtifactError, match=r"has 0 files ending in \.onnx"):
        artifact.data(".onnx")
    (folder / "second.bin").touch()
    (folder / MANIFEST).write_text(manifest_for(folder).to_json())
    with pytest.raises(ArtifactError, match=r"has 2 files ending in \.bin"):
        open_artifact(folder).data(".bin")


@pytest.fixture
def package(folder: Path) -> Path:
    """A folder within the artifact, as some formats want it."""
    inside = folder / "model.mlpackage" / "Data"
    inside.mkdir(parents=True)
    (inside.parent / "Manifest.json").write_text("{}")
    (inside / "weight.bin").write_bytes(WEIGHTS)
    (folder / MANIFEST).write_text(manifest_for(folder).to_json())
    return inside


def test_a_folder_within(folder: Path, package: Path) -> None:
    artifact = open_artifact(folder)
    names = ["model.bin", "model.mlpackage/Data/weight.bin", "model.mlpackage/Manifest.json", "model.param"]
    assert list(artifact.manifest.files) == list(artifact.contents) == names
    assert artifact.data("weight.bin") == WEIGHTS
    assert artifact.path("weight.bin") == package / "weight.bin"


def test_a_file_of_a_folder_within_is_missing_or_changed(folder: Path, package: Path) -> None:
    (package / "weight.bin").write_bytes(WEIGHTS[:-1] + b"\0")
    refused(folder, r"model\.mlpackage/Data/weight\.bin has changed")
    (package / "weight.bin").unlink()
    refused(folder, r"model\.mlpackage/Data/weight\.bin is missing: export the artifact again")
    package.rmdir()
    refused(folder, r"weight\.bin is missing")


def test_a_changed_byte(folder: Path) -> None:
    data = bytearray(WEIGHTS)
    data[50] ^= 1
    (folder / "model.bin").write_bytes(data)
    refused(folder, r"model\.bin has changed since it was exported \(sha256 differs\)")


def test_a_truncated_file(folder: Path) -> None:
    (folder / "model.bin").write_bytes(WEIGHTS[:-1])
    refused(folder, "has changed")


def test_a_missing_file(folder: Path) -> None:
    (folder / "model.bin").unlink()
    refused(folder, r"model\.bin is missing: export the artifact again")


def test_a_path_that_the_system_refuses(folder: Path) -> None:
    refused(folder / ("x" * 300), r"xxx cannot be read \(.*File name too long.*\): check its path and permissions")


@pytest.mark.parametrize("name", [MANIFEST, "model.bin"])
def test_a_file_that_this_user_may_not_read(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads everything, so the system is asked in vain."""
    original = Path.open

    def open_other(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path, *args, **options)

    monkeypatch.setattr(Path, "open", open_other)
    refused(folder, rf"cannot be read \(.*Permission denied: .*{name}'\): check its path and permissions")


def test_a_newer_format(folder: Path, edit: Callable[..., None]) -> None:
    edit("format", value=3)
    refused(folder, "its format is 3, this version reads 2: update ifrnet")


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/passwd",
        "..",
        ".",
        "",
        MANIFEST,
        "a/",
        "./model.bin",
        "a\0b",
        "..\\b",
        "a/../b",
        "a/..",
        "a//b",
        "a/.b",
        "/a",
        "a/b/",
        "a/./b",
        "a\\b/c",
        "a/b\n",
    ],
)
def test_names_that_leave_the_folder(folder: Path, edit: Callable[..., None], name: str) -> None:
    edit("files", value={name: {"sha256": "0", "bytes": 0}})
    refused(folder, "leaves the folder")


def test_a_link_out_of_the_folder_does_not_matter_for_its_digest(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    (folder / "model.bin").unlink()
    (folder / "model.bin").symlink_to(other)
    refused(folder, "has changed")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "3",
        '"x"',
        "{}",
        '{"format": 2}',
        "[" * 100_000,
        '{"format": 2, "sizes": 3}',
        "\x00",
        "NaN",
    ],
    ids=lambda text: text[:12],
)
def test_garbage_instead_of_a_manifest(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    refused(folder, "cannot read")


def test_a_deep_manifest_does_not_overflow_the_stack(folder: Path) -> None:
    (folder / MANIFEST).write_text("[" * 1_000_000)
    script = "import sys, runtimes; sys.setrecursionlimit(10**6); runtimes.load(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True)
    assert done.returncode == 1, "a negative code is a signal: the process was ended by a file"
    assert "ArtifactError" in done.stderr


def test_a_manifest_that_is_not_text(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"\xff\xfe\x00")
    refused(folder, "cannot read")


def test_a_huge_manifest_is_not_read(folder: Path) -> None:
    with (folder / MANIFEST).open("wb") as file:
        file.truncate(3 * 2**30)
    refused(folder, "3221225472 bytes; a manifest has at most")


def test_a_huge_number(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace(str(len(WEIGHTS)), "9" * 5000))
    refused(folder, "cannot read")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("timesteps",), "always"),
        (("precision",), "fp7"),
        (("sizes", "minimum"), "0x5"),
        (("sizes", "maximum"), "16x16"),
        (("sizes",), {}),
        (("scale",), "large"),
        (("scale",), 10**400),
        (("scale",), float("nan")),
        (("scale",), "inf"),
        (("details",), {"seconds": float("nan")}),
        (("files", "model.bin", "bytes"), float("inf")),
        (("parity", 0, "results", 0, "psnr"), "nan"),
        (("files",), ["model.bin"]),
        (("files", "model.bin"), "00"),
        (("files", "model.bin", "bytes"), None),
        (("parity",), 3),
        (("parity", 0, "verdict"), "splendid"),
        (("parity", 0, "results"), None),
        (("parity", 0, "results", 0, "size"), "x"),
        (("checkpoint",), 7),
        (("rewrites",), 7),
        (("tools",), "torch"),
    ],
)
def test_entries_of_another_kind(folder: Path, edit: Callable[..., None], keys: tuple[Any, ...], value: Any) -> None:
    edit(*keys, value=value)
    refused(folder, "cannot read")


@pytest.mark.parametrize("key", ["name", "backend", "timesteps", "sizes", "files", "parity", "format"])
def test_entries_that_are_missing(folder: Path, key: str) -> None:
    data = json.loads((folder / MANIFEST).read_text())
    del data[key]
    (folder / MANIFEST).write_text(json.dumps(data))
    refused(folder, key)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.data())
def test_any_change_of_a_manifest_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever stands in it: a manifest or an ArtifactError, never another exception."""
    root = tmp_path_factory.mktemp("fuzz")
    manifest = json.loads(manifest_for(root).to_json())
    place: Any = manifest
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
        if not (isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = data.draw(json_values)
    (root / MANIFEST).write_text(json.dumps(manifest))
    with suppress(ArtifactError):
        assert read_manifest(root).to_json()


@pytest.mark.parametrize("what", ["nothing", "file", "empty"])
def test_what_is_no_artifact(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x"
    if what == "file":
        path.write_text("x")
    if what == "empty":
        path.mkdir()
    refused(path, r"is not an artifact: it has no manifest\.json; make one with python -m export")


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(staging: Path, content: str = "new") -> None:
    (staging / "model.bin").write_text(content)
    (staging / MANIFEST).write_text("{}")


def stage(final: Path, content: str, *, force: bool = False, error: BaseException | None = None) -> None:
    with staged_folder(final, force=force) as staging:
        write(staging, content)
        if error is not None:
            raise error


def test_a_staged_folder_appears_whole(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "artifact"
    with staged_folder(final, force=False) as staging:
        write(staging)
        assert not final.exists()
        assert staging.parent == final.parent  # the same file system, so that renaming is atomic
    assert left(final.parent) == ["artifact"]
    assert left(final) == [MANIFEST, "model.bin"]
    assert final.stat().st_mode & 0o777 == 0o755


def test_an_interrupted_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stage(tmp_path / "artifact", "new", error=KeyboardInterrupt())
    assert left(tmp_path) == []


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = f"the disk of {re.escape(str(tmp_path))} is full: make room, or pass another --out"
    with pytest.raises(UsageError, match=message):
        stage(tmp_path / "artifact", "new", error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    monkeypatch.setattr("runtimes.staged_folder.is_full", lambda folder: True)
    with pytest.raises(UsageError, match=message):
        stage(tmp_path / "artifact", "new", error=RuntimeError("what OpenVINO says of it"))
    assert left(tmp_path) == []


def test_a_block_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    final = tmp_path / "artifact"
    stage(final, "old")
    with pytest.raises(RuntimeError):
        stage(final, "new", force=True, error=RuntimeError())
    assert left(tmp_path) == ["artifact"]
    assert (final / "model.bin").read_text() == "old"


def test_force_replaces(tmp_path: Path) -> None:
    final = tmp_path / "artifact"
    stage(final, "old")
    stage(final, "new", force=True)
    assert left(tmp_path) == ["artifact"]
    assert (final / "model.bin").read_text() == "new"


def test_the_old_one_stays_when_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "artifact"
    stage(final, "old")
    rename = Path.rename

    def fail(self: Path, other: Path) -> Path:
        if Path(other) == final and self.name.endswith(".partial"):
            raise OSError(errno.EIO, "cannot rename")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="cannot rename"):
        stage(final, "new", force=True)
    assert left(tmp_path) == ["artifact"]
    assert (final / "model.bin").read_text() == "old"


def test_what_exists_needs_force(folder: Path) -> None:
    with pytest.raises(UsageError, match="exists: pass --force to replace it, or another --out"):
        check_destination(folder, force=False)
    check_destination(folder, force=True)
    check_destination(folder.parent / "other", force=False)
    (folder.parent / "link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="exists: pass --force"):
        check_destination(folder.parent / "link", force=False)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_force_replaces_artifacts_only(tmp_path: Path, what: str) -> None:
    path = tmp_path / "holiday"
    if what == "file":
        path.write_text("x")
    else:
        path.mkdir()
        (path / "photo.jpg").write_text("x")
    with pytest.raises(UsageError, match="is not an artifact, so --force does not replace it"):
        check_destination(path, force=True)
    assert path.exists()


def test_who_comes_second_is_told(tmp_path: Path) -> None:
    """Two exports to one folder: both began when it was not there."""
    final = tmp_path / "artifact"

    def slow() -> None:
        with staged_folder(final, force=False) as staging:
            write(staging, "second")
            stage(final, "first")

    with pytest.raises(UsageError, match="was made by another process meanwhile, and stays: pass --force"):
        slow()
    assert (final / "model.bin").read_text() == "first"
    assert left(tmp_path) == ["artifact"]


def test_what_a_killed_export_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from runtimes.staged_folder import staged_folder\n"
        "with staged_folder(pathlib.Path(sys.argv[1]), force=False) as folder:\n"
        "    (folder / 'model.bin').write_text('half'); os.kill(os.getpid(), 15)"
    )
    final = tmp_path / "artifact"
    done = subprocess.run([sys.executable, "-c", code, str(final)], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -15
    assert len(left(tmp_path)) == 1
    stage(final, "new")
    assert left(tmp_path) == ["artifact"]


def test_what_every_reader_refuses(tmp_path: Path) -> None:
    text = manifest("onnxruntime", ("model.onnx",))
    (tmp_path / MANIFEST).write_text(text)
    assert read_manifest(tmp_path).name == "ours"
    for name, changed in refused_manifests(text).items():
        (tmp_path / MANIFEST).write_bytes(changed)
        with pytest.raises(ArtifactError, match=MANIFEST):
            pytest.fail(f"{name}: {read_manifest(tmp_path)} was taken")
