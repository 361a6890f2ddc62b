"""Whether an artifact takes a video, and the export command that makes one that does."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from runtimes.artifact import Manifest, read_manifest, sha256_of
from runtimes.contract import Precision, Size
from runtimes.errors import ArtifactError, UsageError
from runtimes.shipped import shipped_at
from runtimes.video.errors import VideoError
from runtimes.video.options import InferOptions

UHD_WIDTH = 2560
"""From here on the network's own receptive field is small against the motion, and a scale of 0.5 is suggested."""

_ELSEWHERE = "PATH/TO"
"""Stands for the folder of files of the user's: a manifest does not depend on the machine and has their names only."""


def choose_artifact(options: InferOptions, size: Size, *, export: bool, note: Callable[[str], None]) -> InferOptions:
    """Options whose artifact takes frames of ``size``; exported first when ``export`` is true and it does not yet.

    Raises:
        VideoError: it does not; the message is the command that makes one that does, or what to do about tiles.
        ArtifactError: the folder is not an artifact, or the export failed.
    """
    if not options.artifact.exists():
        first = shlex.join(
            [*_EXPORT, "--target", "openvino", "--size", str(size), "--out", str(options.artifact.parent)]
        )
        raise ArtifactError(f"{options.artifact} does not exist; make an artifact for this video with: {first}")
    manifest = read_manifest(options.artifact)
    if options.tile is not None:
        return _check_tile(options, manifest, size)
    if manifest.sizes.holds(size):
        return options
    # Nothing is written into the package.
    folder = Path("artifacts") if shipped_at(options.artifact) else options.artifact.parent
    found = find(folder, manifest, size)
    if found is not None and export:
        note(f"using {found}, which fits {size}")
        return replace(options, artifact=found)
    if found is not None:
        raise VideoError(f"{options.artifact} takes {manifest.sizes}, the video is {size}: pass --artifact {found}")
    command = export_command(manifest, size, folder)
    if any(word.startswith(_ELSEWHERE) for word in command):
        raise VideoError(
            f"{options.artifact} takes {manifest.sizes}, the video is {size}, and only you know where its checkpoint "
            f"is: run {shlex.join(command)}"
        )
    if not export:
        raise VideoError(
            f"{options.artifact} takes {manifest.sizes}, the video is {size}: "
            f"pass --export, or run {shlex.join(command)}"
        )
    note(f"running {shlex.join(command)}")
    code = run_export(command[len(_EXPORT) :])
    found = find(folder, manifest, size)
    if code != 0 or found is None:
        raise ArtifactError(
            f"the export ended with exit code {code} and left no artifact for {size}: run {shlex.join(command)}"
        )
    return replace(options, artifact=found)


_EXPORT = ("python", "-m", "export")

_RUN_EXPORT = """\
import runpy, sys
home = sys.argv.pop(1)
if home not in sys.path:
    sys.path.insert(0, home)
runpy.run_module("export", run_name="__main__", alter_sys=True)
"""


def run_export(arguments: Sequence[str]) -> int:
    """Run the toolchain's own export, never what is called so in the working directory. Returns its exit code."""
    home = str(Path(__file__).resolve().parents[2])  # where runtimes, and in a checkout or an installation export, is
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    safe = [entry for entry in entries if os.path.isabs(entry) and Path(entry).resolve() != Path.cwd().resolve()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(safe), "PYTHONSAFEPATH": "1"}
    call = [sys.executable, "-P", "-c", _RUN_EXPORT, home, *arguments]
    return subprocess.run(call, env=environment, stdout=sys.stderr, check=False).returncode


def find(folder: Path, like: Manifest, size: Size) -> Path | None:
    """An artifact in ``folder`` that differs from ``like`` in its size (and scale) only, and takes ``size``."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            manifest = read_manifest(path)
        except ArtifactError:
            continue  # a folder of something else
        alike = _network(manifest) == _network(like) and manifest.scale in (like.scale, _scale(like, size))
        if alike and manifest.sizes.holds(size):
            return path
    return None


def _network(manifest: Manifest) -> tuple[object, ...]:
    return manifest.target, manifest.precision, manifest.checkpoint.get("sha256")


def export_command(manifest: Manifest, size: Size, out: Path) -> list[str]:
    """The command that makes the same artifact for another size; at half scale for UHD.

    Files that are not built in are named in :data:`_ELSEWHERE`.
    """
    checkpoint = manifest.checkpoint
    model = _builtin(str(checkpoint.get("sha256")))
    own = model is None and checkpoint.get("format") != "random"
    model = f"{_ELSEWHERE}/{checkpoint.get('source')}" if own else model or f"random:{manifest.variant}"
    command = [*_EXPORT, "--target", manifest.target, "--model", model, f"--{manifest.precision}", "--size", str(size)]
    scale = _scale(manifest, size)
    if scale != 1.0:
        command += ["--scale", f"{scale:g}"]
    if own and manifest.precision is Precision.INT8:
        command += ["--calibration", f"{_ELSEWHERE}/calibration.json"]
    return [*command, "--out", str(out)]


def _builtin(sha256: str) -> str | None:
    """The built-in model of this checksum: a checkpoint of one's own may have the same name."""
    package = importlib.util.find_spec("ifrnet")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for path in sorted(Path(folder, "checkpoints").glob("*.safetensors")):
            if sha256_of(path) == sha256:
                return path.stem
    return None


def _scale(manifest: Manifest, size: Size) -> float:
    return 0.5 if manifest.scale == 1.0 and size.width >= UHD_WIDTH else manifest.scale


def _check_tile(options: InferOptions, manifest: Manifest, size: Size) -> InferOptions:
    """Tiles have the artifact's size, at most the video's, and overlap by less than half."""
    tile = options.tile
    assert tile is not None
    tile = Size(min(tile.width, size.width), min(tile.height, size.height))
    if not manifest.sizes.holds(tile):
        raise VideoError(
            f"{options.artifact} takes {manifest.sizes}, the tiles are {tile}: pass --tile {manifest.sizes.typical}"
        )
    if not 0 <= 2 * options.overlap < min(tile.width, tile.height):
        raise UsageError(f"the overlap is {options.overlap}; expected less than half of the tile's {tile}")
    return replace(options, tile=tile)
