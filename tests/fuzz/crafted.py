"""Archives and pickles that a program made to hurt whoever reads them."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    State = dict[str, Tensor]

BOMBS = {"bomb-limit": 380 * 2**20, "bomb": 4 * 2**30}
"""Archive -> bytes that one of its entries unpacks to: just below the limit of the reader, and far above."""


def rezipped(data: bytes, replaced: dict[str, bytes]) -> bytes:
    """The archive, compressed, with other content where the end of a name is in ``replaced``."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            content = next((new for end, new in replaced.items() if name.endswith(end)), source.read(name))
            archive.writestr(name, content)
    return target.getvalue()


def _deep_pickle(state: State, dice: random.Random) -> bytes:
    levels = dice.choice((100, 5000, 200_000))
    return _with_pickle(state, b"\x80\x02" + b"]" * levels + b"a" * (levels - 1) + b".")


def _laughs(state: State, dice: random.Random) -> bytes:
    """Lists of lists that each name the one before twice."""
    body = b"](K\x00K\x00eq\x00" + b"".join(
        b"](h" + bytes([i]) * 1 + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(60)
    )
    return _with_pickle(state, b"\x80\x02" + body + b".")


def _long_number(state: State, dice: random.Random) -> bytes:
    size = dice.choice((10_000, 900_000, 2**31 - 1))
    return _with_pickle(
        state, b"\x80\x02}\x8b" + size.to_bytes(4, "little") + b"\x01" * min(size, 900_000) + b"K\x00s."
    )


def _long_digits(state: State, dice: random.Random) -> bytes:
    return _with_pickle(state, b"\x80\x02}I" + b"9" * dice.choice((4000, 5000, 900_000)) + b"\nK\x00s.")


def _huge_bytes(state: State, dice: random.Random) -> bytes:
    return _with_pickle(state, b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"x.")


def _wide_memo(state: State, dice: random.Random) -> bytes:
    return _with_pickle(state, b"\x80\x02]r" + (2**32 - 1).to_bytes(4, "little") + b".")


def _many_entries(state: State, dice: random.Random) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for i in range(60_000):
            archive.writestr(f"a/data/{i}", b"")
        archive.writestr("a/data.pkl", b"\x80\x02}.")
    return target.getvalue()


def _lying_storage(state: State, dice: random.Random) -> bytes:
    """Tensors whose storage, size, stride or offset is another."""
    import pickle

    target = io.BytesIO()
    import torch

    torch.save(state, target)
    with zipfile.ZipFile(io.BytesIO(target.getvalue())) as archive:
        pickled = bytearray(next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")))
    places = [i for i, byte in enumerate(pickled) if byte in (pickle.BININT[0], pickle.BININT2[0], pickle.BININT1[0])]
    for _ in range(dice.choice((1, 5, 50))):
        place = dice.choice(places)
        width = {pickle.BININT[0]: 4, pickle.BININT2[0]: 2}.get(pickled[place], 1)
        pickled[place + 1 : place + 1 + width] = dice.choice((b"\xff" * width, dice.randbytes(width), bytes(width)))
    return rezipped(target.getvalue(), {"data.pkl": bytes(pickled)})


def _understated(state: State, dice: random.Random) -> bytes:
    """An archive whose directory says that 2 GB are a few bytes."""
    size, target = 2**31 - 2**20, io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("a/data/0", "w") as entry:
            for _ in range(size // 2**20):
                entry.write(bytes(2**20))
        archive.writestr("a/data.pkl", b"\x80\x02}.")
    return target.getvalue().replace(size.to_bytes(4, "little"), dice.randrange(1000).to_bytes(4, "little"))


def _swapped_entries(state: State, dice: random.Random) -> bytes:
    """Storages that are longer, shorter or gone."""
    import torch

    target = io.BytesIO()
    torch.save(state, target)
    return rezipped(
        target.getvalue(),
        {f"data/{dice.randrange(80)}": dice.choice((b"", b"x", bytes(10**6), bytes(7))) for _ in range(3)},
    )


def _with_pickle(state: State, pickled: bytes) -> bytes:
    import torch

    target = io.BytesIO()
    torch.save({}, target)
    return rezipped(target.getvalue(), {"data.pkl": pickled})


CRAFTED: dict[str, Callable[[State, random.Random], bytes]] = {
    **{name: lambda state, dice: b"" for name in BOMBS},
    "deep pickle": _deep_pickle,
    "doubling lists": _laughs,
    "long number": _long_number,
    "long digits": _long_digits,
    "bytes of a terabyte": _huge_bytes,
    "memo with a gap": _wide_memo,
    "many entries": _many_entries,
    "lying storage": _lying_storage,
    "lying storage again": _lying_storage,
    "swapped entries": _swapped_entries,
    "understated": _understated,
}
"""By name; those called bombs are made once."""
