"""The folder of static files: whole or not at all, and nothing of a changed artifact in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runtimes.errors import ArtifactError, BackendError, UsageError
from runtimes.web import site as module
from runtimes.web.site import ARTIFACT, ENGINE, MODULE, SOURCE, build_site, npm_packages


@pytest.fixture
def fake_packages(tmp_path: Path) -> Path:
    """A ``node_modules`` with empty files in the places that are copied."""
    for name in ENGINE:
        _touch(tmp_path / "node_modules" / "onnxruntime-web" / "dist" / name)
    _touch(tmp_path / "node_modules" / "onnxruntime-web" / "package.json")
    _touch(tmp_path / "node_modules" / "mediabunny" / "dist" / "bundles" / "mediabunny.min.mjs")
    _touch(tmp_path / "node_modules" / "mediabunny" / "LICENSE")
    return tmp_path / "node_modules"


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_the_site_holds_what_its_files_name(fake_packages: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build_site(out, packages=fake_packages)
    texts = {path: path.read_text() for path in out.rglob("*") if path.suffix in (".js", ".html") and path.is_file()}
    named = [
        (path.parent / name).resolve()
        for path, text in texts.items()
        for name in re.findall(r'(?:from|import|href=|src=)\s*\(?"((?:\.{1,2}/|page/)[^"]+\.\w+)"', text)
    ]
    assert len(named) > 15
    assert not [path for path in named if not path.is_file()]
    assert (out / "artifacts" / ARTIFACT.name / "model.onnx").read_bytes() == (ARTIFACT / "model.onnx").read_bytes()
    assert f"../artifacts/{ARTIFACT.name}/" in texts[out / "page" / "page.js"]


def test_every_module_is_listed() -> None:
    assert {path.name for path in SOURCE.glob("*.js")} | {"ifrnet.d.ts"} == set(MODULE)


def test_a_folder_that_is_there_stays(fake_packages: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    (out / "photos").mkdir(parents=True)
    (out / "photos" / "1.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match="exists: pass --force"):
        build_site(out, packages=fake_packages)
    with pytest.raises(UsageError, match=r"holds photos/1\.jpg, which is not what python -m runtimes site wrote"):
        build_site(out, packages=fake_packages, force=True)
    assert (out / "photos" / "1.jpg").is_file()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_site_is_replaced_when_asked(fake_packages: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build_site(out, packages=fake_packages)
    first = contents(out)
    (fake_packages / "mediabunny" / "LICENSE").write_text("another")
    (out / "page" / "page.js").unlink()
    build_site(out, packages=fake_packages, force=True)
    assert contents(out).keys() == first.keys()
    assert contents(out)["media/LICENSE"] == b"another"
    build_site(out, packages=fake_packages, force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"site", "node_modules"}


@pytest.mark.parametrize("name", ["index.html", "blog/index.html", ".git/HEAD"])
def test_files_of_the_user_in_a_site_stay(fake_packages: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "site"
    build_site(out, packages=fake_packages)
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    before = contents(out)
    with pytest.raises(UsageError, match=rf"holds {re.escape(name)}, which is not what python -m runtimes site wrote"):
        build_site(out, packages=fake_packages, force=True)
    assert contents(out) == before


def test_the_module_embedded_in_a_folder_of_the_user_is_no_site(fake_packages: Path, tmp_path: Path) -> None:
    embedded = tmp_path / "public"
    embedded.mkdir()
    for name in MODULE:
        shutil.copy(SOURCE / name, embedded / name)
    with pytest.raises(UsageError, match="is not what python -m runtimes site wrote"):
        build_site(embedded, packages=fake_packages, force=True)
    assert contents(embedded).keys() == set(MODULE)


@pytest.mark.parametrize("cut_short", [1, 3, 5])
def test_a_replacement_that_was_interrupted_can_be_repeated(
    fake_packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_short: int
) -> None:
    out = tmp_path / "site"
    build_site(out, packages=fake_packages)
    (fake_packages / "mediabunny" / "LICENSE").write_text("another")
    rename, renamed = Path.rename, []

    def interrupted(self: Path, target: Path) -> Path:
        renamed.append(target)
        if len(renamed) == cut_short:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build_site(out, packages=fake_packages, force=True)
    build_site(out, packages=fake_packages, force=True)
    assert contents(out)["media/LICENSE"] == b"another"


def test_the_folder_one_stands_in_can_be_named(
    fake_packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    monkeypatch.chdir(tmp_path / "site")
    for _ in range(2):
        build_site(Path("."), packages=fake_packages, force=True)
        assert Path("ifrnet.js").is_file()


def test_a_link_leads_to_the_site(fake_packages: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    link = tmp_path / "link"
    link.symlink_to("site")
    build_site(link, packages=fake_packages, force=True)
    assert link.is_symlink()
    assert (tmp_path / "site" / "ifrnet.js").is_file()


def test_a_file_is_no_folder_for_a_site(fake_packages: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    for force in (False, True):
        with pytest.raises(UsageError, match=r"notes\.txt is a file, and a site is a folder: name another"):
            build_site(tmp_path / "notes.txt", packages=fake_packages, force=force)
    assert (tmp_path / "notes.txt").read_text() == "notes"


def test_half_a_package_leaves_nothing(fake_packages: Path, tmp_path: Path) -> None:
    (fake_packages / "mediabunny" / "dist" / "bundles" / "mediabunny.min.mjs").unlink()
    with pytest.raises(BackendError, match=r"mediabunny\.min\.mjs is missing"):
        build_site(tmp_path / "site", packages=fake_packages)
    assert {path.name for path in tmp_path.iterdir()} == {"node_modules"}


def test_a_changed_artifact_is_not_published(
    fake_packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(ARTIFACT, changed)
    (changed / "model.onnx").write_bytes(b"")
    monkeypatch.setattr(module, "ARTIFACT", changed)
    with pytest.raises(ArtifactError, match="has changed"):
        build_site(tmp_path / "site", packages=fake_packages)


def test_without_npm_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFRNET_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match=r"install Node\.js, or pass --packages"):
        npm_packages(print)


def test_npm_that_fails_is_quoted_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho 'npm error code EINTEGRITY' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("IFRNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{npm.parent}:/usr/bin:/bin")
    with pytest.raises(BackendError, match="npm failed: npm error code EINTEGRITY"):
        npm_packages(print)
    assert not list((tmp_path / "cache" / "web").iterdir())


def test_the_lock_names_no_address() -> None:
    lock = (SOURCE / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') >= 4


def test_the_modules_fit_their_types(packages: Path, tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "web", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "web" / "node_modules").symlink_to(packages)
    compiler = packages / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        ["node", str(compiler), "-p", "."], cwd=tmp_path / "web", capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0
