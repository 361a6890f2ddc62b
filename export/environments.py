"""Environments of their own for converters whose packages do not go with ours: made once, on request.

Each is a virtual environment in the user's cache folder with the versions that ``export/pins`` states. Targets run
small scripts in it as processes; nothing of this project is imported there. ``python -m export setup NAME`` makes one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from export.converter_process import last_useful_line, run_logged
from export.errors import ExportError
from runtimes.atomic import temporary_folder, write_text
from runtimes.cli import Parser
from runtimes.environment import cache_folder

PINS = Path(__file__).parent / "pins"
"""One file of versions for each environment."""

MARKER = "complete.json"
"""Written last: what an environment was made of."""

MAKING_S = 3600


ENVIRONMENTS: Mapping[str, str] = MappingProxyType(
    {"litert": "converts to LiteRT; 2 GB, about a minute on a fast network"}
)
"""Name -> what it is for and what it takes, for the line before it is made. The versions are in
``export/pins/<name>.txt``."""


def folder(name: str) -> Path:
    """Where an environment is, or will be."""
    return cache_folder() / "environments" / name


def python(name: str) -> Path:
    """The interpreter of an environment."""
    return folder(name) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def missing(name: str) -> str:
    """Why an environment cannot be used, with the fix; empty when it can."""
    command = f"python -m export setup {name}"
    try:
        made_of = json.loads((folder(name) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"its environment is not there: {command}"
    if made_of != versions(name):
        return f"its environment in {folder(name)} was made of other versions: {command}"
    return "" if python(name).exists() else f"its environment in {folder(name)} is damaged: {command} --force"


def make(name: str, report: Callable[[str], None], *, force: bool = False) -> Path:
    """Make an environment; one that is there and of the right versions is left alone.

    It is made under a temporary name, so what has the name is whole. What pip printed is kept beside it.

    Args:
        name: one of :data:`ENVIRONMENTS`.
        report: receives one short line before, and one after.
        force: make it again in any case.

    Raises:
        ExportError: it cannot be made, with the last line that says why.
        OSError: the cache folder cannot be written to.
    """
    final = folder(name)
    if not force and not missing(name):
        report(f"environment {name} is there: {final}")
        return final
    start = time.perf_counter()
    report(f"making environment {name} ({ENVIRONMENTS[name]})")
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary_folder(final)
    try:
        _fill(name, partial)
        write_text(partial / MARKER, json.dumps(versions(name), indent=1) + "\n")
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    report(f"environment {name}: {_gigabytes(final):.1f} GB in {final}, {time.perf_counter() - start:.0f} s")
    return final


def _fill(name: str, partial: Path) -> None:
    """A virtual environment with the packages of the pins. Its scripts name the temporary folder: use ``python -m``."""
    log = folder(name).with_suffix(".log")
    here = partial / python(name).relative_to(folder(name))
    commands: tuple[Sequence[str | Path], ...] = (
        (sys.executable, "-I", "-m", "venv", partial),
        (here, "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "-r", PINS / f"{name}.txt"),
    )
    for command in commands:
        with log.open("a" if command is not commands[0] else "w", encoding="utf-8") as out:
            try:
                done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, timeout=MAKING_S, check=False)
            except subprocess.TimeoutExpired as error:
                raise ExportError(f"environment {name} was not made within {MAKING_S} s; the log is {log}") from error
        if done.returncode != 0:
            reason = last_useful_line(log.read_text(encoding="utf-8", errors="replace"))
            raise ExportError(f"environment {name} cannot be made ({reason}); the whole log is {log}")


def versions(name: str) -> dict[str, str]:
    """Package -> version, as pinned."""
    lines = (PINS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def run(name: str, script: Path, *arguments: str | Path, log: Path, timeout_s: float) -> None:
    """Run a script in an environment, without the settings that users have for their own Python.

    Args:
        name: of the environment.
        script: a file that imports nothing of this project.
        arguments: of the script.
        log: receives everything that it prints, and is kept when it fails.
        timeout_s: how long it may take.

    Raises:
        ExportError: it failed, with its last useful line.
    """
    command = [python(name), "-I", script, *arguments]
    log.parent.mkdir(parents=True, exist_ok=True)
    run_logged(command, title=f"the {name} converter", log=log, timeout_s=timeout_s)


def _gigabytes(root: Path) -> float:
    return sum(path.lstat().st_size for path in root.rglob("*")) / 1e9


def main(arguments: Sequence[str]) -> int:
    """``python -m export setup``."""
    parser = Parser(
        prog="python -m export setup",
        description="Make the environment that a target converts in, in the cache folder; again after an upgrade.",
    )
    parser.add_argument("name", choices=ENVIRONMENTS, help="of the target")
    parser.add_argument("--force", action="store_true", help="make it again, though it is there")
    given = parser.parse_args(arguments)
    make(given.name, lambda line: print(line, flush=True), force=given.force)
    return 0
