"""Checkpoints to models: strict about names, shapes, values and where they come from."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ifrnet.checkpoint_files import read_limited, read_provenance, read_pth, read_safetensors
from ifrnet.errors import CheckpointError
from ifrnet.model import IFRNet
from ifrnet.ncnn_weights import read_ncnn
from ifrnet.random_weights import random_model
from ifrnet.variants import VARIANTS, CheckpointInfo, Variant
from runtimes.contract import Timesteps
from runtimes.json_text import parse_json

CHECKPOINTS = Path(__file__).parent / "checkpoints"

BUILTIN = ("ifrnet_s",)
"""Built-in models: stems of the ``.safetensors`` and ``.json`` in ``ifrnet/checkpoints``."""

RANDOM = "random:"
"""Before the name of a variant: random weights, for speed and parity without a checkpoint."""

T_CHANNEL = "decoder4.convblock.0.0.weight"
"""Its last input channel is t. All zero in checkpoints trained at t = 0.5 only (official repository, issue 34)."""

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True, kw_only=True)
class RawCheckpoint:
    """What a file holds, before anything is known of it."""

    format: str
    source: str
    state: Mapping[str, Tensor]
    sha256: str
    metadata: Mapping[str, str] = field(default_factory=dict)


def load_model(name_or_path: str | os.PathLike[str]) -> IFRNet:
    """A model with the weights of a checkpoint; the variant follows from their shapes.

    Args:
        name_or_path: a built-in name (see ``BUILTIN``), ``random:VARIANT`` (see :func:`ifrnet.random_model`), or the
            path of an official ``.pth``, a ``.safetensors``, or either file of an ncnn ``.param`` and ``.bin`` pair. A
            JSON file of the same stem beside it is its provenance: a ``sha256`` there must match, and
            ``"timesteps": [0.5]`` narrows what the model serves.

    Returns:
        The model in eval mode, float32, without gradients; ``info`` says where it comes from.

    Raises:
        CheckpointError: no such model or file, or one that is not a whole and finite IFRNet.
        ModelError: no such variant.
    """
    name = os.fspath(name_or_path)
    if name.startswith(RANDOM):
        return random_model(name.removeprefix(RANDOM))
    if name in BUILTIN:
        path = CHECKPOINTS / f"{name}.safetensors"
    else:
        path = Path(name)
        name = path.stem
        _check_known(path)
    raw = READERS[path.suffix.lower()](path)
    variant = recognise(raw.state, raw.source)
    state = {key: tensor.to(torch.float32).contiguous() for key, tensor in raw.state.items()}
    _check_finite(state, raw.source)
    provenance = read_provenance(path.with_suffix(".json"))
    expected = provenance.get("sha256", raw.sha256)
    if expected != raw.sha256:
        raise CheckpointError(
            f"{raw.source} has sha256 {raw.sha256}, but {path.stem}.json beside it expects {expected}: one of them is "
            "of another checkpoint or damaged; fetch both again"
        )
    with torch.device("meta"):  # no memory, and the caller's random numbers stay as they were
        model = IFRNet(variant)
    model.load_state_dict(state, strict=True, assign=True)
    model.info = CheckpointInfo(
        name=name,
        source=raw.source,
        format=raw.format,
        sha256=raw.sha256,
        timesteps=_timesteps(state, raw.metadata, provenance, raw.source),
        provenance={**raw.metadata, **provenance},
    )
    return model.eval().requires_grad_(False)


def _check_known(path: Path) -> None:
    """Refuse what is neither a built-in name nor a file of a known kind."""
    builtin, kinds = ", ".join(BUILTIN), ", ".join(READERS)
    known = path.suffix.lower() in READERS
    if not known and path.name == str(path) and not path.is_file():
        unshipped = " (its weights are not shipped: fetch the official ones and give their path)"
        raise CheckpointError(
            f"no model {path.name!r}{unshipped if path.name in VARIANTS else ''}; built-in: {builtin}; or give the "
            f"path of a checkpoint ({kinds})"
        )
    if not known:
        kind = "a directory" if path.is_dir() else "of no known kind"
        raise CheckpointError(f"{path} is {kind}; expected a checkpoint file ({kinds}) or a built-in name ({builtin})")


def _read_pth(path: Path) -> RawCheckpoint:
    data = read_limited(path)
    return RawCheckpoint(format="pth", source=path.name, state=read_pth(data, path.name), sha256=_sha256(data))


def _read_safetensors(path: Path) -> RawCheckpoint:
    data = read_limited(path)
    state, metadata = read_safetensors(data, path.name)
    return RawCheckpoint(format="safetensors", source=path.name, state=state, sha256=_sha256(data), metadata=metadata)


def _read_ncnn(path: Path) -> RawCheckpoint:
    """Either file of the pair is given; the other has to lie beside it."""
    pair = path.with_suffix(".param"), path.with_suffix(".bin")
    for file in pair:
        if not file.exists():
            raise CheckpointError(f"{file}: no such file; ncnn weights are a .param and a .bin of the same name")
    param, weights = (read_limited(file) for file in pair)
    state = read_ncnn(param, weights, pair[0].name)
    return RawCheckpoint(format="ncnn", source=pair[0].name, state=state, sha256=_sha256(param, weights))


READERS = MappingProxyType(
    {
        ".pth": _read_pth,
        ".pt": _read_pth,
        ".safetensors": _read_safetensors,
        ".param": _read_ncnn,
        ".bin": _read_ncnn,
    }
)
"""File ending -> reader."""


def _sha256(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


@functools.cache
def expected_shapes(variant: Variant) -> Mapping[str, tuple[int, ...]]:
    """State-dict keys and shapes of a variant, as in the official checkpoints."""
    with torch.device("meta"):
        model = IFRNet(variant)
    return MappingProxyType({key: tuple(tensor.shape) for key, tensor in model.state_dict().items()})


def recognise(state: Mapping[str, Tensor], source: str) -> Variant:
    """The variant that a state dict belongs to.

    Args:
        state: names to tensors; values are not looked at.
        source: file name, for messages.

    Raises:
        CheckpointError: keys missing or left over, shapes of no variant, or tensors that are not plain floats.
    """
    keys = expected_shapes(VARIANTS["ifrnet_s"]).keys()
    missing, extra = [key for key in keys if key not in state], [key for key in state if key not in keys]
    if missing or extra:
        parts = [_listed("lacks", missing)] * bool(missing) + [_listed("has the unknown", extra)] * bool(extra)
        raise CheckpointError(
            f"{source} is no IFRNet: it {' and '.join(parts)}; expected the {len(keys)} tensors of the official "
            "IFRNet, IFRNet_S or IFRNet_L"
        )
    for key, tensor in state.items():
        if tensor.dtype not in DTYPES or tensor.layout is not torch.strided or tensor.device.type != "cpu":
            raise CheckpointError(
                f"{source}: {key} is {tensor.dtype} ({tensor.layout}, {tensor.device.type}); expected floating-point "
                f"numbers ({', '.join(str(dtype).removeprefix('torch.') for dtype in DTYPES)})"
            )
    wrong = {
        name: [key for key, shape in expected_shapes(variant).items() if tuple(state[key].shape) != shape]
        for name, variant in VARIANTS.items()
    }
    nearest = min(wrong, key=lambda name: len(wrong[name]))
    if wrong[nearest]:
        key = wrong[nearest][0]
        raise CheckpointError(
            f"{source} fits no variant: nearest is {nearest}, but {len(wrong[nearest])} of {len(keys)} tensors differ; "
            f"{key} is {tuple(state[key].shape)}, expected {expected_shapes(VARIANTS[nearest])[key]}"
        )
    return VARIANTS[nearest]


def _listed(verb: str, keys: list[str]) -> str:
    """A few of many names, cut short: they come from the file."""
    shown = ", ".join(key[:80] for key in keys[:3])
    return f"{verb} {shown}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


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
    """What the weights serve; claims beside them can narrow that, never widen it."""
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
