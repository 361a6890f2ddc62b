"""The weights of IFRNet in whatever a checkpoint holds: found by the names and shapes of its tensors.

Training scripts keep weights under keys of their own, beside optimisers and figures, and wrap networks in modules that
put a prefix before every name. None of that has to be known here: the names and shapes of IFRNet are.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ifrnet.errors import CheckpointError
from ifrnet.model import IFRNet
from ifrnet.variants import VARIANTS, Variant
from runtimes.errors import RuntimesWarning
from runtimes.printable import printable

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

TRAINING_STATE = frozenset({"model", "average", "optimiser"})
"""Keys of a run of ``ifrnet.training``, whose ``export`` knows which of the two networks counts."""

NAMELESS = "shadow_params"
"""Key of torch-ema's average: a list of tensors, whose names are in the network that it was made of."""

MAX_NESTING = 16
"""Deeper than any training script keeps its weights; what is deeper is not looked at."""

_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What DataParallel, torch.compile, FSDP and checkpointing put between the names of modules."""

_WRAPPED = re.compile(rf"(?<=\.)(?:{'|'.join(_WRAPPERS)})\.")
_NAME = re.compile(r"(.*\.)?((?:encoder|decoder\d)\..*)", re.DOTALL)
"""A prefix, then the name of a parameter of IFRNet."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Entries of one mapping that share a prefix: the state dict of one module.

    Attributes:
        path: keys that lead to the mapping, from the outside.
        prefix: what stands before the names, with its last dot.
        content: the whole mapping.
        keys: name without prefix and wrappers -> key in the mapping; tensors only.
    """

    path: tuple[object, ...]
    prefix: str
    content: Mapping[object, object]
    keys: Mapping[str, str]

    @property
    def known(self) -> int:
        """How many of the names are IFRNet's."""
        return len(self.keys.keys() & expected_shapes(VARIANTS["ifrnet_s"]).keys())

    @property
    def fits(self) -> bool:
        """Whether every tensor of a variant is there, in its shape."""
        return any(
            all(name in self.keys and _shape(self.content[self.keys[name]]) == shape for name, shape in shapes.items())
            for shapes in map(expected_shapes, VARIANTS.values())
        )

    @property
    def label(self) -> str:
        """Where the table is, without the names of wrappers: ``state_dict.ema``."""
        parts = map(str, [*self.path, *self.prefix.split(".")])
        return ".".join(printable(part[:40]) for part in parts if part not in ("", *_WRAPPERS)) or "."

    def state(self, source: str) -> dict[str, Tensor]:
        """The tensors by name, with those that IFRNet does not have.

        Raises:
            CheckpointError: something in the table is not a tensor with a name.
        """
        taken = set(self.keys.values())
        state = {name: _tensor(self.content[key]) for name, key in self.keys.items()}
        for key, value in self.content.items():
            if self.prefix and not (isinstance(key, str) and key.startswith(self.prefix)):
                continue  # of a module beside this one
            if not isinstance(key, str) or not _is_tensor(value):
                raise CheckpointError(
                    f"{source} holds a {type(value).__name__} under {printable(repr(key))[:80]}; expected names and "
                    "tensors only: save model.state_dict()"
                )
            if key not in taken:
                state[key.removeprefix(self.prefix)] = _tensor(value)
        return state


class Found(NamedTuple):
    """The tensors of a network by name, and its label where the file holds several that fit; "" where it does not."""

    state: dict[str, Tensor]
    label: str


def find_weights(content: object, source: str, weights: str | None = None) -> Found:
    """The one network in a checkpoint that fits IFRNet; the nearest, where none fits.

    Args:
        content: what the file holds: mappings, lists, tensors and anything else.
        source: file name, for messages.
        weights: which of several networks, by the end of the keys that lead to it.

    Raises:
        CheckpointError: nothing like it, several that fit, or the state of a training run of ours.

    Warns:
        RuntimesWarning: an average is there as well, as tensors without names.
    """
    if isinstance(content, Mapping) and content.keys() >= TRAINING_STATE:
        raise CheckpointError(
            f"{source} is the state of a training run; make a checkpoint of it with `python -m ifrnet.training "
            "export --state ... --output ...`"
        )
    if any(isinstance(mapping.get(NAMELESS), list) for _, mapping in _mappings(content)):
        warnings.warn(
            f"{source} also holds an average of the weights as a list without names ({NAMELESS}), which is not read: "
            "let torch-ema copy it into the network (copy_to), and save that one's state_dict()",
            RuntimesWarning,
            stacklevel=4,
        )
    tables = [table for path, mapping in _mappings(content) for table in _tables_in(mapping, path)]
    if not tables:
        raise CheckpointError(
            f"{source} holds a {type(content).__name__}; expected a state dict (names to tensors), alone or among "
            "other things"
        )
    fitting = [table for table in tables if table.fits]
    labels = _labels(fitting)
    if weights is not None:
        which = _named(weights, labels, source)
        return Found(fitting[which].state(source), labels[which] if len(labels) > 1 else "")
    if len(fitting) > 1:
        raise CheckpointError(
            f"{source} holds {len(fitting)} networks that fit IFRNet, {', '.join(labels[:5])}: say which one with "
            f"--weights {labels[-1]}, in Python weights={labels[-1]!r}; for a command without --weights save it alone, "
            f"torch.save(ifrnet.load_model({source!r}, weights={labels[-1]!r}).state_dict(), 'one.pth')"
        )
    nearest = fitting[0] if fitting else max(tables, key=lambda table: (table.known, len(table.keys)))
    return Found(nearest.state(source), "")


def _named(weights: str, labels: Sequence[str], source: str) -> int:
    """Which of the labels ends in ``weights``."""
    found = [index for index, label in enumerate(labels) if f".{label}".endswith(f".{weights.strip('.')}")]
    if len(found) != 1:
        which = f"it holds {', '.join(labels[:5])}" if labels else "it holds none that fits IFRNet"
        raise CheckpointError(f"{source} has no one network called {weights[:80]!r}; {which}")
    return found[0]


def _labels(tables: Sequence[Table]) -> list[str]:
    """One name for each table; with all wrappers where two would have the same."""
    labels = [table.label for table in tables]
    count = Counter(labels)
    return [
        label if count[label] == 1 else printable(".".join([*map(str, table.path), table.prefix]).strip("."))
        for label, table in zip(labels, tables, strict=True)
    ]


def _mappings(content: object) -> Iterator[tuple[tuple[object, ...], Mapping[object, object]]]:
    """All mappings with the keys that lead to them, the outer ones first; what is there twice is looked at once."""
    waiting: deque[tuple[tuple[object, ...], object]] = deque([((), content)])
    seen: set[int] = set()
    while waiting:
        path, value = waiting.popleft()
        if isinstance(value, dict):
            yield path, value
        if len(path) == MAX_NESTING:
            continue
        for key, child in _items(value):
            if isinstance(child, (dict, list, tuple)) and child and id(child) not in seen:
                seen.add(id(child))
                waiting.append(((*path, key), child))


def _items(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else ()


def _tables_in(content: Mapping[object, object], path: tuple[object, ...]) -> Iterator[Table]:
    """One table for each prefix; names that are nothing of IFRNet's count as those without a prefix."""
    groups: dict[str, dict[str, str]] = {"": {}}
    for key, value in content.items():
        if isinstance(key, str) and _is_tensor(value):
            match = _NAME.fullmatch(key)
            prefix, name = (match[1] or "", match[2]) if match else ("", key)
            group = groups.setdefault(prefix, {})
            plain = _WRAPPED.sub("", name)
            group[name if plain in group else plain] = key
    for prefix, keys in groups.items():
        if keys or not path:
            yield Table(path=path, prefix=prefix, content=content, keys=keys)


def _is_tensor(value: object) -> bool:
    """Whether a value is a tensor with one shape, which a nested one has not."""
    return type(value) in (Tensor, nn.Parameter) and not _tensor(value).is_nested


def _tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor)
    return value.detach()


def _shape(value: object) -> tuple[int, ...]:
    return tuple(_tensor(value).shape)


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
    shown = ", ".join(printable(key[:80]) for key in keys[:3])
    return f"{verb} {shown}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
