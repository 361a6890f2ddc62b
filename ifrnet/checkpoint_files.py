"""Checkpoint files to their content, without running or trusting anything in them.

A file is read once, so that what was hashed is what was parsed. Which tensors are the weights is found in
``ifrnet.state_dicts``.
"""

from __future__ import annotations

import io
import pickle
import re
import stat
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ifrnet.errors import CheckpointError
from ifrnet.file_kinds import is_safetensors, kind_of
from ifrnet.pickle_protocol import MAX_PICKLE_BYTES, SAFE_PROTOCOL, protocol_of, to_protocol_2
from runtimes.json_text import parse_json

MAX_CHECKPOINT_BYTES = 384 * 2**20
"""Five times ifrnet_l in float32: its weights, their average, and an optimiser's two figures for each.

An archive of this size is in memory twice while it is unpacked.
"""

MAX_HEADER_BYTES = 4 * 2**20
"""Of a safetensors file; IFRNet's has 12 kB and its metadata."""

MAX_PROVENANCE_BYTES = 64 * 2**10

ARCHIVE = b"PK\x03\x04"
"""How an archive begins for PyTorch's reader, which looks at nothing else."""

ARCHIVE_END = b"PK\x05\x06"

LEGACY_MARK = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
"""A number in the first pickle of what PyTorch wrote before 1.6, and still writes when asked to."""

LEGACY_PICKLES = 5
"""A mark, a version, facts of the machine, the content and the names of the storages; then the storages."""

AGAIN = "fetch the file again"


class _Ignored:
    """Stands for a value beside the weights that is no tensor: takes what its class would take, and keeps nothing."""

    def __new__(cls, *_: object) -> _Ignored:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


IGNORED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Ignored, name)
    for name in (
        "builtins.bytes",
        "numpy.dtype",
        "numpy.ndarray",
        *(
            f"numpy.{core}.{name}"
            for core in ("core", "_core")
            for name in ("multiarray.scalar", "multiarray._reconstruct", "numeric._frombuffer")
        ),
        "argparse.Namespace",
        *(f"{module}.{system}Path" for module in ("pathlib", "pathlib._local") for system in ("Posix", "Windows")),
    )
]
"""What training scripts leave beside the weights: figures, options and paths. Nothing of that name is called.
Python 3.13 alone writes paths as of ``pathlib._local``."""

UNCALLED = b"\nbytearray\n", b"\nbytes\n"
"""A name that PyTorch's safe reader calls with any number, for gigabytes of zeros (2.13); one of :data:`IGNORED`."""

_READING = threading.Lock()
"""PyTorch keeps the names that it allows for the whole process."""


def read_limited(path: Path, limit: int = MAX_CHECKPOINT_BYTES) -> bytes:
    """The bytes of a regular file.

    Raises:
        CheckpointError: no such file, no regular file, not readable, empty, or larger than ``limit``.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise CheckpointError(f"{path} is a directory; expected a checkpoint file inside it")
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path} is no regular file; expected a checkpoint on disk")
        if status.st_size > limit:
            raise CheckpointError(f"{path} has {status.st_size} bytes; expected at most {limit} of a file of this kind")
        with path.open("rb") as file:
            data = file.read(status.st_size)  # what is asked for is taken from memory at once
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not data:
        raise CheckpointError(f"{path} is empty; expected a checkpoint: fetch it again")
    return data


def is_pytorch(data: bytes) -> bool:
    """Whether a file begins as what ``torch.save`` writes does."""
    return data.startswith(ARCHIVE) or LEGACY_MARK in data[:64]


def read_pth(data: bytes, source: str) -> object:
    """What a PyTorch file holds; only tensors and containers are unpickled, never code.

    Args:
        data: the file.
        source: its name, for messages.

    Raises:
        CheckpointError: not such a file, or a pickle that needs more than tensors, containers and numbers.
    """
    if not is_pytorch(data):
        raise CheckpointError(f"{source} is no PyTorch checkpoint {_instead(data)}")
    try:
        data = _unpacked(data, source) if data.startswith(ARCHIVE) else _legacy_in_protocol_2(data)
        with _READING, torch.serialization.safe_globals(IGNORED), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of deprecated forms; the caller gets one message
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # a hostile pickle can raise anything at all
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        if culprit:
            raise CheckpointError(
                f"{source} is refused: its pickle would run {culprit[1]!r}, and a checkpoint needs tensors only; "
                "if you trust it, save model.state_dict() alone, or convert it to .safetensors"
            ) from error
        raise CheckpointError(
            f"{source} was written by torch.save but is damaged, or holds more than tensors and containers: {AGAIN}, "
            "or save model.state_dict() alone"
        ) from error


def _instead(data: bytes) -> str:
    """The end of a message that says what a file is."""
    if kind := kind_of(data):
        return f"but {kind}"
    if data.startswith(pickle.PROTO):
        return (
            "but a plain pickle, which cannot be read without running what it says: save the weights with "
            "torch.save(model.state_dict(), ...)"
        )
    return f"or is damaged; expected what torch.save writes: {AGAIN}"


def _legacy_in_protocol_2(data: bytes) -> bytes:
    stream = io.BytesIO(data)
    pickles = [to_protocol_2(stream) for _ in range(LEGACY_PICKLES)]
    return b"".join(pickles).replace(*UNCALLED) + data[stream.tell() :]


def _unpacked(data: bytes, source: str) -> bytes:
    """The same archive without compression and with a pickle of protocol 2, as PyTorch itself writes it.

    A zip may be small and unpack to anything, and may show one directory to Python and another to PyTorch's reader; so
    PyTorch gets one written here.
    """
    target = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(target, "w") as plain:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_CHECKPOINT_BYTES:
                raise CheckpointError(f"{source} unpacks to more than {MAX_CHECKPOINT_BYTES} bytes, the limit here")
            names = list(dict.fromkeys(archive.namelist()))
            for name in names:
                with archive.open(name) as entry:  # the size is asked for, or it would unpack whatever is there
                    content = entry.read(archive.getinfo(name).file_size + 1)
                if name.endswith("data.pkl"):
                    content = _checked_pickle(content, source)
                plain.writestr(name, content)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        # RuntimeError: an encrypted entry, or (NotImplementedError) a compression that Python lacks.
        reason = "" if ARCHIVE_END in data[-(2**16) :] else ": its end is missing, as of a download that was broken off"
        raise CheckpointError(f"{source} is a damaged archive{reason}; {AGAIN}") from error
    if kind := _other_archive(names):
        raise CheckpointError(f"{source} is no PyTorch checkpoint but {kind}")
    return target.getvalue()


def _checked_pickle(data: bytes, source: str) -> bytes:
    if len(data) > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"{source} has a pickle of {len(data)} bytes; expected at most {MAX_PICKLE_BYTES}: save model.state_dict()"
        )
    plain = to_protocol_2(io.BytesIO(data)) if protocol_of(data) > SAFE_PROTOCOL else data
    return plain.replace(*UNCALLED)


def _other_archive(names: list[str]) -> str | None:
    """What a zip is that holds no checkpoint of ``torch.save``."""
    ends = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in ends or any("/code/" in f"/{name}" for name in names):
        return "a TorchScript program (torch.jit.save), which holds code: save model.state_dict() with torch.save"
    if "archive_format" in ends:
        return "an exported program (torch.export.save), which holds a graph: save model.state_dict() with torch.save"
    if "data.pkl" not in ends:
        inside = ", ".join(map(repr, names))[:80] or "nothing"
        return f"a zip archive of {inside}: unpack it and give the checkpoint inside"
    return None


def read_safetensors(data: bytes, source: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        CheckpointError: cut short, or another kind of file.
    """
    length = int.from_bytes(data[:8], "little")
    if not is_safetensors(data):
        if kind := "a file of torch.save: let its name end in .pth" if is_pytorch(data) else kind_of(data):
            raise CheckpointError(f"{source} is no safetensors file but {kind}")
        raise CheckpointError(
            f"{source} is no safetensors file, or is damaged: it has {len(data)} bytes, and its header alone should "
            f"have {length}; {AGAIN}"
        )
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(f"{source} has a header of {length} bytes; expected at most {MAX_HEADER_BYTES}")
    try:
        tensors = safetensors.torch.load(data)
        header = parse_json(data[8 : 8 + length])
    except Exception as error:  # the library raises its own error, KeyError (dtype) and more
        raise CheckpointError(
            f"{source} is a damaged safetensors file: its tensors are not where its header says; {AGAIN}"
        ) from error
    return tensors, header.get("__metadata__", {})


def read_provenance(path: Path) -> dict[str, Any]:
    """The JSON object beside a checkpoint; empty where there is none.

    Raises:
        CheckpointError: there is one, but it is no JSON object.
    """
    if not path.exists():
        return {}
    text = read_limited(path, MAX_PROVENANCE_BYTES)
    try:
        content = parse_json(text, finite=True)
    except ValueError as error:
        raise CheckpointError(
            f"{path} stands beside the checkpoint as its provenance, but is no JSON ({first_line(error)}): repair it "
            "or move it away"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} stands beside the checkpoint as its provenance, but holds a {type(content).__name__}; expected "
            "a JSON object"
        )
    return content


def first_line(error: BaseException) -> str:
    """The gist of a library's message, so that ours stay on one line."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
