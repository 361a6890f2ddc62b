"""Checkpoint files to named tensors, nothing executed and nothing believed.

A file is read once, so that what was hashed is what was parsed. What the tensors mean is checked in
``ifrnet.weights``.
"""

from __future__ import annotations

import io
import re
import stat
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from ifrnet.errors import CheckpointError
from runtimes.json_text import parse_json

MAX_CHECKPOINT_BYTES = 512 * 2**20
"""ifrnet_l in float32 is 79 MB; six times that holds its optimiser too, and no phone book."""

MAX_PROVENANCE_BYTES = 64 * 2**10

ARCHIVE = b"PK\x03\x04"
"""How an archive begins for PyTorch's reader, which looks at nothing else."""

TRAINING_STATE = frozenset({"model", "average", "optimiser"})
"""Keys of a run of ``ifrnet.training``: which of the two networks in it counts is its own business."""

WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts keep the state dict beside their own things."""


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
            data = file.read(limit)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not data:
        raise CheckpointError(f"{path} is empty; expected a checkpoint: fetch it again")
    return data


def read_pth(data: bytes, source: str) -> dict[str, Tensor]:
    """Tensors of a PyTorch file; only tensors and containers are unpickled, never code.

    Args:
        data: the file.
        source: its name, for messages.

    Raises:
        CheckpointError: not such a file, a pickle that needs more than tensors, or no state dict in it.
    """
    if data.startswith(ARCHIVE):
        data = _unpacked(data, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript archives warn before they fail; one message is enough
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile pickle can raise anything at all
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        if culprit:
            raise CheckpointError(
                f"{source} is refused: its pickle would run {culprit[1]!r}, and a checkpoint needs tensors only; "
                "if you trust it, save model.state_dict() alone, or convert it to .safetensors"
            ) from error
        raise CheckpointError(
            f"{source} is no PyTorch checkpoint or is damaged ({first_line(error)}); expected torch.save of a "
            "state dict: fetch the file again"
        ) from error
    return _state_dict(content, source)


def _unpacked(data: bytes, source: str) -> bytes:
    """The same archive without compression, as PyTorch itself writes it.

    A zip may be small and unpack to anything, and may show one directory to Python and another to PyTorch's reader; so
    PyTorch gets one written here.
    """
    target = io.BytesIO()
    left = MAX_CHECKPOINT_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(target, "w") as plain:
            for name in dict.fromkeys(archive.namelist()):
                with archive.open(name) as entry:
                    content = entry.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise CheckpointError(f"{source} unpacks to more than {MAX_CHECKPOINT_BYTES} bytes, the limit here")
                plain.writestr(name, content)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        # RuntimeError: an encrypted entry, or (NotImplementedError) a compression that Python lacks.
        raise CheckpointError(f"{source} is a damaged archive ({first_line(error)}): fetch the file again") from error
    return target.getvalue()


def _state_dict(content: object, source: str) -> dict[str, Tensor]:
    """The state dict itself or wrapped once, with or without ``module.`` before every key."""
    if isinstance(content, Mapping):
        if content.keys() >= TRAINING_STATE:
            raise CheckpointError(
                f"{source} is the state of a training run; make a checkpoint of it with `python -m ifrnet.training "
                "export --state ... --output ...`"
            )
        for wrapper in WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                content = content[wrapper]
                break
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{source} holds a {type(content).__name__}; expected a state dict (names to tensors), alone or under "
            f"{' or '.join(repr(wrapper) for wrapper in WRAPPERS)}"
        )
    for key, value in content.items():
        if not isinstance(key, str) or type(value) not in (Tensor, nn.Parameter):
            raise CheckpointError(
                f"{source} holds a {type(value).__name__} under {key!r}; expected names and tensors only: save "
                "model.state_dict()"
            )
    if content and all(key.startswith("module.") for key in content):
        return {key.removeprefix("module."): value.detach() for key, value in content.items()}
    return {key: value.detach() for key, value in content.items()}


def read_safetensors(data: bytes, source: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        CheckpointError: truncated, or another kind of file.
    """
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        header = parse_json(data[8 : 8 + length])
    except Exception as error:  # the library raises its own error, KeyError (dtype) and more
        raise CheckpointError(
            f"{source} is no safetensors file or is damaged ({first_line(error)}): fetch the file again"
        ) from error
    return _state_dict(tensors, source), header.get("__metadata__", {})


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
