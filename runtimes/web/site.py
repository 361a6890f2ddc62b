"""Putting the page together: one folder of static files that anyone can host."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from runtimes.artifact import MANIFEST, open_artifact, sha256_of
from runtimes.atomic import temporary_folder
from runtimes.environment import cache_folder
from runtimes.errors import BackendError, UsageError
from runtimes.printable import MAX_REASON, one_line
from runtimes.shipped import FOLDER

SOURCE = Path(__file__).absolute().parent

ARTIFACT = FOLDER / "ifrnet_s-web-fp16-dynamic"
"""What the page opens by itself; ``page/page.js`` names it too."""

MODULE = ("ifrnet.js", "ifrnet.d.ts", "artifact.js", "errors.js", "frames.js", "json.js", "proof.js", "scene.js")
"""What an app embeds."""

ENGINE = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""Of onnxruntime-web: the first three for the CPU, the rest for the GPU."""

WRITTEN = ".ifrnet-site"
"""The list of a site's files with their sha256, as ``sha256sum`` writes it: by it a site is known as one."""

TIMEOUT_S = 600

Report = Callable[[str], None]


def silent(line: str) -> None:
    """Tell nobody."""


def build_site(out: Path, *, packages: Path | None = None, force: bool = False, report: Report = silent) -> None:
    """Write the page, the module, the engine and the built-in artifact into a folder.

    Args:
        out: the folder; a new one is there whole or not at all.
        packages: a ``node_modules`` that has them; None to take them from npm, checked against ``package-lock.json``.
        force: replace a site that is there, and holds nothing but what was written.
        report: receives a line for what takes time.

    Raises:
        UsageError: the folder exists, is none, or holds something else than a site.
        BackendError: npm is missing or failed, or a package is not whole.
        ArtifactError: the built-in artifact was changed.
    """
    out = Path(os.path.realpath(out))  # "." has no name, and a link is not what is replaced
    _check_destination(out, force=force)
    artifact = open_artifact(ARTIFACT)
    packages = packages or npm_packages(report)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary_folder(out)
    try:
        for name in (*MODULE, "index.html"):
            shutil.copy(SOURCE / name, partial / name)
        shutil.copytree(SOURCE / "page", partial / "page", ignore=shutil.ignore_patterns("modules.d.ts"))
        _copy_packages(packages, partial)
        folder = partial / "artifacts" / ARTIFACT.name
        folder.mkdir(parents=True)
        shutil.copy(ARTIFACT / MANIFEST, folder / MANIFEST)
        for name, data in artifact.contents.items():
            (folder / name).write_bytes(data)
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        lines = [f"{sha256_of(path)}  {path.relative_to(partial).as_posix()}\n" for path in files]
        (partial / WRITTEN).write_text("".join(lines), encoding="utf-8", newline="\n")
        _check_destination(out, force=force)  # npm may have taken minutes
        _take_place(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_destination(out: Path, *, force: bool) -> None:
    """Refuse to replace what is neither an empty folder nor a site as it was written. Raises UsageError."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file, and a site is a folder: name another")
    if not force:
        raise UsageError(f"{out} exists: pass --force to replace it, or name another folder")
    listing = out / WRITTEN
    text = listing.read_text(encoding="utf-8", errors="replace") if listing.is_file() else ""
    written = {name: digest for digest, _, name in (line.partition("  ") for line in text.splitlines())}
    for path in out.rglob("*"):
        name = path.relative_to(out).as_posix()
        if path == listing or (path.is_dir() and not path.is_symlink()):
            continue
        if name not in written or sha256_of(path) != written[name]:
            raise UsageError(
                f"{out} holds {name}, which is not what python -m runtimes site wrote, so the folder is not replaced: "
                "name another, or move your files out of it"
            )


def _take_place(partial: Path, out: Path) -> None:
    """Let a new site have the name ``out``. A folder that is there stays, since the user may stand in it."""
    if not out.exists():
        partial.rename(out)
        return
    for old in list(out.iterdir()):
        if old.is_dir():
            shutil.rmtree(old)
        elif old.name != WRITTEN:
            old.unlink()
    (partial / WRITTEN).replace(out / WRITTEN)  # before the rest: what is interrupted can be replaced again
    for new in list(partial.iterdir()):
        new.rename(out / new.name)


def _copy_packages(packages: Path, site: Path) -> None:
    """The engine and the library for clips, each with its licence beside it."""
    engine, media = packages / "onnxruntime-web", packages / "mediabunny"
    wanted = {engine / "dist" / name: site / "engine" / name for name in ENGINE}
    wanted[engine / "package.json"] = site / "engine" / "package.json"  # its licence stands there
    wanted[media / "dist" / "bundles" / "mediabunny.min.mjs"] = site / "media" / "mediabunny.min.mjs"
    wanted[media / "LICENSE"] = site / "media" / "LICENSE"
    for source, target in wanted.items():
        target.parent.mkdir(exist_ok=True)
        try:
            shutil.copy(source, target)
        except FileNotFoundError as error:
            raise BackendError(
                f"{source} is missing: {packages} does not hold what runtimes/web/package.json asks for"
            ) from error


def npm_packages(report: Report, *, developers: bool = False) -> Path:
    """A ``node_modules`` in the user's cache, with exactly what ``package-lock.json`` names; made once.

    Args:
        report: receives a line when npm is called.
        developers: with what the tests need.

    Raises:
        BackendError: npm is missing, or failed.
    """
    lock = SOURCE / "package-lock.json"
    name = hashlib.sha256(lock.read_bytes() + bytes([developers])).hexdigest()[:16]
    final = cache_folder() / "web" / name
    if (final / "node_modules").is_dir():
        return final / "node_modules"
    npm = shutil.which("npm")
    if npm is None:
        raise BackendError(
            "npm is not installed, which fetches ONNX Runtime for the web: install Node.js, or pass --packages with a "
            "node_modules that holds onnxruntime-web and mediabunny"
        )
    report("fetching onnxruntime-web and mediabunny (npm), once on this machine")
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary_folder(final)
    try:
        for file in (lock, SOURCE / "package.json"):
            shutil.copy(file, partial / file.name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *([] if developers else ["--omit=dev"])]
        try:
            done = subprocess.run(
                command, cwd=partial, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BackendError(f"npm did not end within {TIMEOUT_S} s: try again") from error
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise BackendError(f"npm failed: {one_line(' | '.join(lines[:2]), MAX_REASON)}")
        if not final.exists():
            partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final / "node_modules"
