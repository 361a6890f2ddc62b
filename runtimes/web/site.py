"""Putting the page together: one folder of static files that anyone can host."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from runtimes.artifact import MANIFEST, open_artifact
from runtimes.atomic import is_taken, temporary_folder
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

TIMEOUT_S = 600

Report = Callable[[str], None]


def silent(line: str) -> None:
    """Tell nobody."""


def build_site(out: Path, *, packages: Path | None = None, force: bool = False, report: Report = silent) -> None:
    """Write the page, the module, the engine and the built-in artifact into a folder.

    Args:
        out: the folder; it is there whole or not at all.
        packages: a ``node_modules`` that has them; None to take them from npm, checked against ``package-lock.json``.
        force: replace a site that is there.
        report: receives a line for what takes time.

    Raises:
        UsageError: the folder exists, or is something else than a site.
        BackendError: npm is missing or failed, or a package is not whole.
        ArtifactError: the built-in artifact was changed.
    """
    if is_taken(out) and not force:
        raise UsageError(f"{out} exists: pass --force to replace it, or name another folder")
    if is_taken(out) and not (out / "ifrnet.js").is_file() and not _is_empty(out):
        raise UsageError(f"{out} is no site of this package, so it is not replaced: name another folder")
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
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


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
