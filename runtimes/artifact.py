"""The artifact: one folder with model files and ``manifest.json``, written whole or not at all, checked on reading."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from runtimes.contract import Precision, Size, SizeRange, Timesteps, Verdict
from runtimes.errors import ArtifactError, RuntimesError
from runtimes.json_text import as_list, as_number, as_table, as_text, as_whole, parse_json
from runtimes.machine import Machine
from runtimes.printable import MAX_REASON, one_line

MANIFEST = "manifest.json"
FORMAT = 2
"""Raised when a reader of the version before would misunderstand a manifest."""

SAVED_FILE = "file"
"""What stands in the place of a device in the verdict on a saved file that was read back and computed, not run."""

EMULATOR = "emulator"
"""The device that plays another processor, see :attr:`runtimes.device.Device.emulates`."""

_PLAIN = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"

_MANIFEST_LIMIT = 4 * 2**20

MAX_FILES = 64
"""That a manifest may list."""


@dataclass(frozen=True, kw_only=True)
class ParityResult:
    """Errors of one comparison with PyTorch; see :mod:`runtimes.compare` for their definitions."""

    size: Size
    t: float
    max_error: float
    mean_error: float
    psnr: float
    ssim: float
    worst: tuple[int, int, int]
    """Where the largest error is: x, y, channel."""
    median_flow: float
    """Median flow of the reference on these frames, in pixels: small flows would hide warp errors."""


@dataclass(frozen=True, kw_only=True)
class DeviceParity:
    """The verdict on one device, with the arithmetic that ran there and the tolerance it was held to."""

    device: str
    verdict: Verdict
    reason: str = ""
    arithmetic: str = ""
    max_error_limit: float | None = None
    psnr_limit: float | None = None
    results: tuple[ParityResult, ...] = ()
    machine: Machine | None = None
    """Where it ran; None where it did not."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything known of an artifact. Sizes in pixels, file sizes in bytes."""

    name: str
    target: str
    backend: str
    variant: str
    checkpoint: Mapping[str, Any]
    timesteps: Timesteps
    precision: Precision
    sizes: SizeRange
    scale: float
    rewrites: tuple[str, ...]
    tools: Mapping[str, str]
    details: Mapping[str, Any]
    """What the target read back from what it built (layer precisions, compute capabilities, ...)."""
    files: Mapping[str, Mapping[str, Any]]
    """File name -> sha256 and bytes. A file of a folder within is ``model.mlpackage/Manifest.json``."""
    parity: tuple[DeviceParity, ...] = ()
    created: str = ""
    format: int = FORMAT
    contract: str = field(default="img0, img1: float32 NCHW RGB [0, 1]; t: float32 (1, 1, 1, 1); imgt like img0")

    def parity_on(self, device: str) -> DeviceParity:
        """The verdict for ``device``; ``not run`` when the export did not try it."""
        for record in self.parity:
            if record.device == device:
                return record
        return DeviceParity(device=device, verdict=Verdict.NOT_RUN, reason=f"never compared on {device}")

    @property
    def identity(self) -> str:
        """sha256 of everything that says what is computed: all but the verdicts and the date."""
        known = {key: value for key, value in _plain(asdict(self)).items() if key not in ("parity", "created")}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """The manifest as written to disk, in ASCII: a name may hold anything."""
        return json.dumps(_plain(asdict(self)), indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"width", "height"}:
            return f"{value['width']}x{value['height']}"
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return value


def _parse(data: Any) -> Manifest:
    """Build a manifest from untrusted JSON. Raises KeyError, TypeError, ValueError, OverflowError or RuntimesError."""
    if type(data["format"]) is not int or data["format"] != FORMAT:
        raise ArtifactError(
            f"its format is {data['format']}, this version reads {FORMAT}: update ifrnet or export again"
        )
    sizes = SizeRange(**{key: Size.parse(as_text(data["sizes"][key])) for key in ("minimum", "typical", "maximum")})
    listed = as_table(data["files"])
    if len(listed) > MAX_FILES:
        raise ValueError(f"it lists {len(listed)} files; expected at most {MAX_FILES}")
    files = {
        name: {"sha256": as_text(f["sha256"]), "bytes": as_whole(f["bytes"], 0, 2**53)} for name, f in listed.items()
    }
    for name in files:
        if name == MANIFEST or not re.fullmatch(rf"{_PLAIN}(/{_PLAIN})*", name):
            raise ValueError(f"file name {name!r} is not plain, or leaves the folder")
    texts: dict[str, Any] = {
        key: as_text(data[key]) for key in ("name", "target", "backend", "variant", "created", "contract")
    }
    tables: dict[str, Any] = {key: as_table(data[key]) for key in ("checkpoint", "tools", "details")}
    return Manifest(
        **texts,
        **tables,
        timesteps=Timesteps(data["timesteps"]),
        precision=Precision(data["precision"]),
        sizes=sizes,
        scale=as_number(data["scale"]),
        rewrites=tuple(as_text(name) for name in as_list(data["rewrites"])),
        files=files,
        parity=tuple(_parse_device(record) for record in as_list(data["parity"])),
    )


def _parse_device(data: Any) -> DeviceParity:
    results = tuple(
        ParityResult(
            size=Size.parse(result["size"]),
            **{key: float(result[key]) for key in ("t", "max_error", "mean_error", "psnr", "ssim", "median_flow")},
            worst=tuple(int(i) for i in result["worst"]),  # type: ignore[arg-type]
        )
        for result in as_list(data["results"])
    )
    limits: dict[str, Any] = {
        key: None if data[key] is None else as_number(data[key]) for key in ("max_error_limit", "psnr_limit")
    }
    texts: dict[str, Any] = {key: as_text(data[key]) for key in ("device", "reason", "arithmetic")}
    machine = None if data["machine"] is None else Machine.parse(data["machine"])
    return DeviceParity(**texts, **limits, verdict=Verdict(data["verdict"]), results=results, machine=machine)


def read_manifest(folder: Path) -> Manifest:
    """Read and check ``manifest.json`` of an artifact folder; the model files are checked by :func:`open_artifact`.

    Raises:
        ArtifactError: no such folder, no manifest, not one of ours, or of a newer version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} is not an artifact: it has no {MANIFEST}; make one with python -m export")
    if path.stat().st_size > _MANIFEST_LIMIT:
        raise ArtifactError(f"{path} is {path.stat().st_size} bytes; a manifest has at most {_MANIFEST_LIMIT}")
    try:
        manifest = _parse(parse_json(path.read_text(encoding="utf-8"), finite=True))
        manifest.to_json()  # refuses NaN anywhere: what is read can be written
        return manifest
    except RuntimesError as error:
        raise ArtifactError(f"cannot read {path}: {one_line(error, MAX_REASON)}") from error
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
        reason = one_line(error, MAX_REASON)
        raise ArtifactError(f"cannot read {path}: {type(error).__name__}: {reason}; export it again") from error


@dataclass(frozen=True)
class Artifact:
    """An artifact whose files were read once, checked, and are loaded from what was checked.

    Attributes:
        folder: absolute, so that a change of the working directory does not matter.
        manifest: what stands in ``manifest.json``.
        contents: file name -> bytes, of every file that the manifest lists.
    """

    folder: Path
    manifest: Manifest
    contents: Mapping[str, bytes] = field(repr=False)

    def name(self, suffix: str) -> str:
        """The one file that ends in ``suffix``.

        Raises:
            ArtifactError: there is none, or more than one.
        """
        names = [name for name in self.contents if name.endswith(suffix)]
        if len(names) != 1:
            raise ArtifactError(
                f"{self.folder} has {len(names)} files ending in {suffix}; expected one: export it again"
            )
        return names[0]

    def data(self, suffix: str) -> bytes:
        """What the one file that ends in ``suffix`` holds. Raises ArtifactError as :meth:`name` does."""
        return self.contents[self.name(suffix)]

    def text(self, suffix: str) -> str:
        """The same as text.

        Raises:
            ArtifactError: as :meth:`name` does, or the file is not UTF-8.
        """
        try:
            return self.data(suffix).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ArtifactError(
                f"{self.folder / self.name(suffix)} is no text ({error.reason} at byte {error.start}): export it again"
            ) from error

    def path(self, suffix: str) -> Path:
        """Where the one file that ends in ``suffix`` is, for a backend that reads no memory."""
        return self.folder / self.name(suffix)

    def check_sizes(self, found: Sequence[Sequence[int | None]]) -> None:
        """Hold the shapes of img0 and img1 that a model file states, NCHW, against the sizes of the manifest.

        A backend that believed a manifest of another size than the model's would compute beyond its memory.

        Args:
            found: for each frame its shape; None where a side is free.

        Raises:
            ArtifactError: they differ.
        """
        sizes = self.manifest.sizes
        free = (1, 3, None, None)
        expected = (1, 3, sizes.typical.height, sizes.typical.width) if sizes.is_static else free
        for shape in found:
            if tuple(shape) != expected:
                given = "x".join("?" if side is None else str(side) for side in shape)
                raise ArtifactError(
                    f"{self.folder}: the manifest says frames of {sizes}, the model takes {given} (NCHW); one of them "
                    "was changed: export it again"
                )


def open_artifact(folder: str | os.PathLike[str]) -> Artifact:
    """Open an artifact: read every file that the manifest lists, once, and check its size and sha256.

    Raises:
        ArtifactError: see :func:`read_manifest`; or a file is missing, changed, or not this user's to read.
    """
    try:
        root = Path(folder).absolute()
        return read_files(root, read_manifest(root))
    except OSError as error:
        raise ArtifactError(f"{os.fspath(folder)} cannot be read ({error}): check its path and permissions") from error


def read_files(folder: Path, manifest: Manifest) -> Artifact:
    """The files of a manifest, read and checked. Raises ArtifactError when one is missing or changed."""
    contents = {name: _read_checked(folder / name, expected) for name, expected in manifest.files.items()}
    return Artifact(folder.absolute(), manifest, contents)


def _read_checked(path: Path, expected: Mapping[str, Any]) -> bytes:
    if not path.is_file():
        raise ArtifactError(f"{path} is missing: export the artifact again")
    if path.stat().st_size == expected["bytes"]:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == expected["sha256"]:
            return data
    raise ArtifactError(f"{path} has changed since it was exported (sha256 differs): export the artifact again")


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_files(folder: Path, names: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    """The ``files`` entry of a manifest for everything in ``folder``, or for these ``names``; parts of a name are
    joined by ``/``."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    paths = paths if names is None else {name: paths[name] for name in names}
    return {
        name: {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        for name, path in sorted(paths.items())
        if name != MANIFEST
    }
