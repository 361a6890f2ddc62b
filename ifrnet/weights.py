"""Checkpoints to models: strict about names, shapes, values and where they come from."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ifrnet.checkpoint_files import is_pytorch, read_limited, read_provenance, read_pth, read_safetensors
from ifrnet.errors import CheckpointError, UncheckedWeightsWarning
from ifrnet.file_kinds import known_kind
from ifrnet.model import IFRNet
from ifrnet.ncnn_weights import read_ncnn
from ifrnet.random_weights import random_model
from ifrnet.state_dicts import find_weights, recognise
from ifrnet.variants import VARIANTS, CheckpointInfo
from runtimes.contract import Timesteps
from runtimes.json_text import parse_json

CHECKPOINTS = Path(__file__).parent / "checkpoints"

BUILTIN = ("ifrnet_s",)
"""Built-in models: stems of the ``.safetensors`` and ``.json`` in ``ifrnet/checkpoints``."""

RANDOM = "random:"
"""Before the name of a variant: random weights, for speed and parity without a checkpoint."""

T_CHANNEL = "decoder4.convblock.0.0.weight"
"""Its last input channel is t. All zero in checkpoints trained at t = 0.5 only (official repository, issue 34)."""


@dataclass(frozen=True, kw_only=True)
class RawCheckpoint:
    """What a file holds, before it is known whether that is an IFRNet."""

    format: str
    source: str
    state: Mapping[str, Tensor]
    sha256: str
    network: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def load_model(name_or_path: str | os.PathLike[str], *, weights: str | None = None) -> IFRNet:
    """A model with the weights of a checkpoint; the variant follows from their shapes.

    Args:
        name_or_path: a built-in name (see ``BUILTIN``), ``random:VARIANT`` (see :func:`ifrnet.random_model`), or the
            path of a PyTorch file, a ``.safetensors``, or either file of an ncnn ``.param`` and ``.bin`` pair. A
            JSON file of the same stem beside it is its provenance: a ``sha256`` there must match, and
            ``"timesteps": [0.5]`` narrows what the model serves.
        weights: which of several networks in the file, such as ``ema``; see
            :func:`ifrnet.state_dicts.find_weights`.

    Returns:
        The model in eval mode, float32, without gradients; ``info`` says where it comes from.

    Raises:
        CheckpointError: no such model or file, or one that is not a whole and finite IFRNet.
        ModelError: no such variant.

    Warns:
        UncheckedWeightsWarning: nothing beside the file says which sha256 it should have.
    """
    name = os.fspath(name_or_path)
    path, kind = CHECKPOINTS / f"{name}.safetensors", ".safetensors"
    if weights is not None and (name in BUILTIN or name.startswith(RANDOM)):
        raise CheckpointError(f"{name} holds one network; expected no choice of weights, got {weights!r}")
    if name.startswith(RANDOM):
        return random_model(name.removeprefix(RANDOM))
    if name not in BUILTIN:
        path = Path(name)
        kind = _kind(path)
        name = path.name[: -len(kind)] or path.name
    raw = READERS[kind](path, weights)
    variant = recognise(raw.state, raw.source)
    state = {key: tensor.to(torch.float32).contiguous() for key, tensor in raw.state.items()}
    _check_finite(state, raw.source)
    beside = path.with_name(f"{path.name[: -len(kind)]}.json")
    provenance = read_provenance(beside)
    _check_sha256(raw, provenance, beside)
    with torch.device("meta"):  # no memory, and the caller's random numbers stay as they were
        model = IFRNet(variant)
    model.load_state_dict(state, strict=True, assign=True)
    model.info = CheckpointInfo(
        name=name if weights is None else f"{name}-{re.sub(r'[^A-Za-z0-9_-]+', '-', weights)}",
        source=raw.source,
        format=raw.format,
        sha256=raw.sha256,
        network=raw.network,
        timesteps=_timesteps(state, raw.metadata, provenance, raw.source),
        provenance={**raw.metadata, **provenance} | ({} if weights is None else {"weights": weights}),
    )
    return model.eval().requires_grad_(False)


def _kind(path: Path) -> str:
    """The ending of a checkpoint's name, in lower case. Raises CheckpointError where it is none that is known."""
    ending = next((ending for ending in READERS if path.name.lower().endswith(ending)), None)
    if ending is not None:
        return ending
    builtin, kinds = ", ".join(BUILTIN), ", ".join(READERS)
    if path.name == str(path) and not path.is_file():
        unshipped = " (its weights are not shipped: fetch the official ones and give their path)"
        raise CheckpointError(
            f"no model {path.name!r}{unshipped if path.name in VARIANTS else ''}; built-in: {builtin}; or give the "
            f"path of a checkpoint ({kinds})"
        )
    what = "a directory" if path.is_dir() else "of no known kind"
    raise CheckpointError(f"{path} is {what}; expected a checkpoint file ({kinds}) or a built-in name ({builtin})")


def _check_sha256(raw: RawCheckpoint, provenance: Mapping[str, Any], beside: Path) -> None:
    """Compare a file with what its provenance expects; say so where there is nothing to compare with."""
    expected = provenance.get("sha256")
    if expected is None:
        warnings.warn(
            f"{raw.source} is used unchecked: nothing beside it says which sha256 it should have, and one changed byte "
            f"gives other weights. Its own is {raw.sha256}; "
            f'write the right one as {{"sha256": "..."}} to {beside.name}',
            UncheckedWeightsWarning,
            stacklevel=3,
        )
    elif str(expected).lower() != raw.sha256:
        raise CheckpointError(
            f"{raw.source} has sha256 {raw.sha256}, but {beside.name} beside it expects {expected}: one of them is "
            "of another checkpoint or damaged; fetch both again"
        )


def _read_pth(path: Path, weights: str | None) -> RawCheckpoint:
    data = read_limited(path)
    state, network = find_weights(read_pth(data, path.name), path.name, weights)
    return RawCheckpoint(format="pth", source=path.name, state=state, sha256=_sha256(data), network=network)


def _read_safetensors(path: Path, weights: str | None) -> RawCheckpoint:
    data = read_limited(path)
    tensors, metadata = read_safetensors(data, path.name)
    state, network = find_weights(tensors, path.name, weights)
    return RawCheckpoint(
        format="safetensors",
        source=path.name,
        state=state,
        sha256=_sha256(data),
        network=network,
        metadata=metadata,
    )


def _read_ncnn(path: Path, weights: str | None) -> RawCheckpoint:
    """Read a pair by the path of either file; the other has to lie beside it."""
    pair = path.with_suffix(".param"), path.with_suffix(".bin")
    for file in pair:
        if not file.exists():
            raise CheckpointError(f"{file}: no such file; ncnn weights are a .param and a .bin of the same name")
    param, values = (read_limited(file) for file in pair)
    for file, data in zip(pair, (param, values), strict=True):
        if kind := known_kind(data):
            raise CheckpointError(f"{file.name} is no file of an ncnn pair but {kind}")
    if weights is not None:
        raise CheckpointError(f"{path.name} holds one network; expected no choice of weights, got {weights!r}")
    state = read_ncnn(param, values, pair[0].name)
    return RawCheckpoint(format="ncnn", source=pair[0].name, state=state, sha256=_sha256(param, values))


def _read_bin(path: Path, weights: str | None) -> RawCheckpoint:
    """The weights of an ncnn pair, or what ``torch.save`` wrote: model hubs name that so."""
    if path.is_file() and is_pytorch(read_limited(path)):
        return _read_pth(path, weights)
    return _read_ncnn(path, weights)


READERS: Mapping[str, Callable[[Path, str | None], RawCheckpoint]] = MappingProxyType(
    {
        ".pth": _read_pth,
        ".pt": _read_pth,
        ".pth.tar": _read_pth,
        ".ckpt": _read_pth,
        ".pkl": _read_pth,
        ".safetensors": _read_safetensors,
        ".param": _read_ncnn,
        ".bin": _read_bin,
    }
)
"""Ending of a file's name -> reader. None is the end of another."""


def _sha256(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _check_finite(state: Mapping[str, Tensor], source: str) -> None:
    for key, tensor in state.items():
        count = int((~torch.isfinite(tensor)).sum())
        if count:
            raise CheckpointError(
                f"{source}: {count} of {tensor.numel()} values of {key} are NaN or infinite in float32; expected "
                "finite weights: the training diverged or the file is damaged"
            )


def _timesteps(
    state: Mapping[str, Tensor], metadata: Mapping[str, str], provenance: Mapping[str, Any], source: str
) -> Timesteps:
    """The times that the weights serve. Metadata and provenance can make them fewer, never more."""
    claims = [provenance.get("timesteps")]
    if "timesteps" in metadata:
        try:
            claims.append(parse_json(metadata["timesteps"]))
        except ValueError:
            claims.append(metadata["timesteps"])
    for claim in claims:
        if claim not in (None, 0.5, [0.5], "any"):
            raise CheckpointError(
                f"{source}: its provenance says timesteps {str(claim)[:80]!r}; expected [0.5] for middle frames only, "
                "or 'any'"
            )
    if 0.5 in claims or [0.5] in claims or not bool(state[T_CHANNEL][:, -1].any()):
        return Timesteps.MIDDLE
    return Timesteps.ANY
