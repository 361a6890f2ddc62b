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
    with pytest.raises(UsageError, match="exists: pass --force"):
        build_site(out, packages=fake_packages)
    with pytest.raises(UsageError, match="is no site of this package"):
        build_site(out, packages=fake_packages, force=True)
    assert (out / "photos").is_dir()
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    with pytest.raises(UsageError, match="exists: pass --force"):
        build_site(link, packages=fake_packages)
    with pytest.raises(UsageError, match="is no site of this package"):
        build_site(link, packages=fake_packages, force=True)


def test_a_site_is_replaced_when_asked(fake_packages: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build_site(out, packages=fake_packages)
    (out / "old.js").write_text("")
    build_site(out, packages=fake_packages, force=True)
    assert not (out / "old.js").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"site", "node_modules"}


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
