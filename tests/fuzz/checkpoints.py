"""Checkpoints: damaged files of every form, lying headers, archives that unpack to gigabytes, strange content."""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fuzz.crafted import BOMBS, CRAFTED, rezipped
from tests.fuzz.damage import STRANGE, changed_json, damaged
from tests.fuzz.models import other_word

if TYPE_CHECKING:
    from torch import Tensor

    State = dict[str, Tensor]

PROTOCOLS = (2, 3, 4, 5)


def prepare(seeds: Path) -> None:
    """One checkpoint, the pair of ncnn and the archives that are slow to write."""
    import torch

    from ifrnet import random_model
    from tests.ifrnet.test_ncnn_weights import Writer

    state = {key: tensor.half() for key, tensor in random_model("ifrnet_s", seed=12).state_dict().items()}
    torch.save(state, seeds / "state.pth")
    writer = Writer({key: tensor.float() for key, tensor in state.items()}, half=True)
    writer.network()
    text, weights = writer.files()
    (seeds / "state.param").write_text(text)
    (seeds / "state.bin").write_bytes(weights)
    for name, size in BOMBS.items():
        for entry in ("data.pkl", "data/0"):
            write_bomb(seeds / f"{name}-{entry.replace('/', '-')}.pth", seeds / "state.pth", entry, size)


def write_bomb(path: Path, whole: Path, replaced: str, size: int) -> None:
    """The archive with zeros instead of one entry."""
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for name in source.namelist():
            if not name.endswith(replaced):
                target.writestr(name, source.read(name))
                continue
            with target.open(name, "w", force_zip64=True) as entry:
                for _ in range(size // 2**22):
                    entry.write(bytes(2**22))


class Checkpoints:
    """Loads a damaged checkpoint. What is accepted without a word has to hold the weights that were saved."""

    def __init__(self, seeds: Path) -> None:
        self._seeds = seeds

    @cached_property
    def _state(self) -> State:
        import torch

        found: State = torch.load(self._seeds / "state.pth")
        return found

    def write(self, folder: Path, dice: random.Random | None) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        self._same_values = True
        if dice is None:
            self._path = folder / "model.pth"
            self._path.write_bytes((self._seeds / "state.pth").read_bytes())
            return "whole"
        forms: tuple[Callable[[Path, random.Random], str], ...] = (
            self._pth,
            self._pth,
            self._pth,
            self._safetensors,
            self._safetensors,
            self._ncnn,
            self._ncnn,
            self._crafted,
        )
        return dice.choice(forms)(folder, dice)

    def _pth(self, folder: Path, dice: random.Random) -> str:
        """Of any protocol, with strange content, other bytes, or both."""
        content, done = dict(self._state), []
        if dice.random() < 0.5:
            content, how = strange_content(content, dice)
            done.append(how)
        data, form = saved(content, dice)
        if not done or dice.random() < 0.2:
            data, how = damaged(data, dice)
            done.append(how)
            self._same_values = False
        self._path = folder / f"model{dice.choice(('.pth', '.pt', '.ckpt', '.pth.tar', '.bin'))}"
        self._path.write_bytes(data)
        return f"{form}: {', '.join(done)}"

    def _safetensors(self, folder: Path, dice: random.Random) -> str:
        """With a changed header, or other bytes."""
        import safetensors.torch

        data = safetensors.torch.save(self._state, metadata={"timesteps": '"any"'})
        if dice.random() < 0.6:
            length = int.from_bytes(data[:8], "little")
            header, how = changed_json(json.loads(data[8 : 8 + length]), dice)
            text = json.dumps(header).encode()
            data = len(text).to_bytes(8, "little") + text + data[8 + length :]
        else:
            data, how = damaged(data, dice)
        self._same_values = False
        self._path = folder / "model.safetensors"
        self._path.write_bytes(data)
        return f"safetensors: {how}"

    def _ncnn(self, folder: Path, dice: random.Random) -> str:
        """Either file of the pair."""
        param, weights = ((self._seeds / f"state{suffix}").read_bytes() for suffix in (".param", ".bin"))
        where = dice.choice((".param", ".param", ".bin"))
        if where == ".bin":
            weights, how = damaged(weights, dice)
        elif dice.random() < 0.6:
            param, how = other_word(param.decode(), dice)
        else:
            param, how = damaged(param, dice)
        self._same_values = False
        self._path = folder / "model.param"
        self._path.write_bytes(param)
        self._path.with_suffix(".bin").write_bytes(weights)
        return f"ncnn {where}: {how}"

    def _crafted(self, folder: Path, dice: random.Random) -> str:
        """Archives and pickles that a program made to hurt."""
        self._same_values = False
        self._path = folder / "model.pth"
        name, make = dice.choice(sorted(CRAFTED.items()))
        if name.startswith("bomb"):
            entry = dice.choice(("data.pkl", "data-0"))
            self._path.write_bytes((self._seeds / f"{name}-{entry}.pth").read_bytes())
            return f"{name} in {entry}"
        self._path.write_bytes(make(self._state, dice))
        return name

    def attempt(self, folder: Path) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        import torch

        from ifrnet import UncheckedWeightsWarning, load_model

        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = load_model(self._path).state_dict()
        for item in told:
            if item.category is not UncheckedWeightsWarning:
                warnings.warn(item.message, item.category, stacklevel=1)
        if not any(item.category is UncheckedWeightsWarning for item in told):
            return "accepted without saying that it is unchecked"
        same = all(torch.equal(found[key].half(), value) for key, value in self._state.items())
        return "other weights" if self._same_values and not same else ""


def saved(content: object, dice: random.Random) -> tuple[bytes, str]:
    """A file of ``torch.save``: any protocol, a zip, a compressed zip, or the form before 1.6."""
    import torch

    protocol, form = dice.choice(PROTOCOLS), dice.choice(("zip", "deflated zip", "legacy"))
    target = io.BytesIO()
    torch.save(content, target, pickle_protocol=protocol, _use_new_zipfile_serialization=form != "legacy")
    data = target.getvalue()
    if form == "deflated zip":
        data = rezipped(data, {})
    return data, f"{form}, protocol {protocol}"


KEYS: tuple[Any, ...] = (
    "",
    "x\x1b[2J",
    "é" * 500,
    "encoder.",
    "model.encoder",
    0,
    -1,
    10**5000,
    1.5,
    None,
    (1, 2),
    b"k",
)


def strange_content(state: State, dice: random.Random) -> tuple[Any, str]:
    """What a training script could have saved, or nobody would; the weights that fit stay the same."""
    import torch

    content: Any = dict(state)
    done = []
    for _ in range(dice.choice((1, 2, 3))):
        how = dice.choice(("wrap", "prefix", "beside", "tensor beside", "lose", "type", "loop", "shape", "list"))
        done.append(how)
        if how == "wrap" or not isinstance(content, dict):
            content = {dice.choice(KEYS): content, "step": dice.choice(STRANGE)}
        elif how == "prefix":
            prefix = dice.choice(("module.", "_orig_mod.", "x.y.", ".", ""))
            content = {prefix + key if isinstance(key, str) else key: value for key, value in content.items()}
        elif how == "beside":
            content[dice.choice(KEYS)] = dice.choice(STRANGE)
        elif how == "tensor beside":
            content[dice.choice(("x", "encoder.x", "optimiser"))] = _strange_tensor(dice)
        elif how == "loop":
            content["self"] = content
        elif how == "list":
            content = [content] * dice.choice((1, 2, 1000))
        elif content:
            key = dice.choice(list(content))
            if how == "lose":
                del content[key]
            elif how == "type" and isinstance(content[key], torch.Tensor):
                content[key] = content[key].to(dice.choice((torch.float64, torch.int8, torch.complex64, torch.bool)))
                if content[key].dtype is not torch.float64:
                    content[f"{key}.was"] = 0
            else:
                content[key] = _strange_tensor(dice)
    return content, "+".join(done)


def _strange_tensor(dice: random.Random) -> Any:
    import torch

    makers: tuple[Callable[[], Any], ...] = (
        lambda: torch.zeros(0),
        lambda: torch.tensor(1.0),
        lambda: torch.tensor(float("nan")),
        lambda: torch.zeros(1).expand(2**20, 2**20),
        lambda: torch.zeros(1).expand(24, 3, 3, 3),
        lambda: torch.zeros(3, 3).to_sparse(),
        lambda: torch.zeros(1, dtype=torch.uint8),
        lambda: torch.nn.Parameter(torch.zeros(2)),
        lambda: torch.zeros(2, device="meta"),
        lambda: torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8),
        lambda: torch.zeros(2**30, dtype=torch.uint8, device="meta"),
    )
    return dice.choice(makers)()
