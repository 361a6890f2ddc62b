"""Ways to damage bytes and JSON, each decided by a seeded generator."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

Dice = random.Random

LENGTHS = (0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)
"""What a size, a count or an offset may claim to be."""

EDGE = 600
"""Bytes at the beginning of a file, where most formats keep their sizes."""


def cut_short(data: bytes, dice: Dice) -> bytes:
    """The beginning alone; now and then nothing."""
    return data[: dice.choice((0, 1, 7, 8, 9, 64, dice.randrange(len(data)), dice.randrange(len(data)), len(data) - 1))]


def flip_bits(data: bytes, dice: Dice) -> bytes:
    """A few bits the other way round, often near the beginning."""
    found = bytearray(data)
    for _ in range(dice.choice((1, 1, 3, 30))):
        place = dice.randrange(min(len(found), EDGE)) if dice.random() < 0.5 else dice.randrange(len(found))
        found[place] ^= 1 << dice.randrange(8)
    return bytes(found)


def other_bytes(data: bytes, dice: Dice) -> bytes:
    """A run of random bytes in place of what was there."""
    place, length = dice.randrange(len(data)), dice.choice((1, 4, 40, 4000))
    return data[:place] + dice.randbytes(length) + data[place + length :]


def lying_number(data: bytes, dice: Dice) -> bytes:
    """A number of 2, 4 or 8 bytes that claims something extreme, at the beginning, the end or anywhere."""
    width = dice.choice((2, 4, 8))
    number = dice.choice((*LENGTHS, dice.getrandbits(64))) % 256**width
    last = max(1, len(data) - width)
    place = dice.choice((dice.randrange(min(last, EDGE)), dice.randrange(last), max(0, last - dice.randrange(EDGE))))
    return data[:place] + number.to_bytes(width, dice.choice(("little", "big"))) + data[place + width :]


def hole(data: bytes, dice: Dice) -> bytes:
    """A part left out."""
    a, b = sorted(dice.randrange(len(data)) for _ in range(2))
    return data[:a] + data[b:]


def twice(data: bytes, dice: Dice) -> bytes:
    """A part twice."""
    a, b = sorted(dice.randrange(len(data)) for _ in range(2))
    return data[:b] + data[a:]


def zeros(data: bytes, dice: Dice) -> bytes:
    """A part overwritten with zeros, as of a disk that was full."""
    a, b = sorted(dice.randrange(len(data)) for _ in range(2))
    return data[:a] + bytes(b - a) + data[b:]


def longer(data: bytes, dice: Dice) -> bytes:
    """Something more at the end."""
    return data + dice.choice((b"\0", b"\n", dice.randbytes(100), data[:EDGE]))


def garbage(data: bytes, dice: Dice) -> bytes:
    """Random bytes only."""
    return dice.randbytes(dice.choice((1, 16, 5000)))


BYTES: tuple[Callable[[bytes, Dice], bytes], ...] = (
    cut_short,
    flip_bits,
    other_bytes,
    lying_number,
    lying_number,
    hole,
    twice,
    zeros,
    longer,
    garbage,
)


def damaged(data: bytes, dice: Dice) -> tuple[bytes, str]:
    """Bytes that are no longer ``data``, and what was done to them."""
    while True:
        how = dice.choice(BYTES)
        found = how(data, dice)
        if found != data:
            return found, how.__name__


def _deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**400,
    0.5,
    -0.0,
    1e-320,
    1e-45,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    "nan",
    "inf",
    "0",
    "x" * 100_000,
    "9" * 5000,
    "\x1b[31mred\x1b[0m\r\n\x07",
    "\u202eback",
    "\ud800",
    "\0",
    "../../etc/passwd",
    "16384x16384",
    "1x1",
    "-1x-1",
    [],
    {},
    [0] * 10_000,
    [[]],
    {"": None},
    {"width": 1, "height": 2},
    _deep(60),
)
"""Values that a reader may not expect in some place."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a JSON value."""
    found = [path]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += _places(child, (*path, key))
    return found


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _change(value: Any, dice: Dice) -> str:
    """Change one place of a JSON object; shallow places as often as deep ones."""
    places = [path for path in _places(value) if path]
    depth = dice.choice(sorted({len(path) for path in places}))
    path = dice.choice([path for path in places if len(path) == depth])
    holder, key = _at(value, path[:-1]), path[-1]
    how = dice.choice(("replace", "replace", "replace", "remove", "rename", "elsewhere", "scale"))
    if how == "remove":
        del holder[key]
    elif how == "rename" and isinstance(holder, dict):
        holder[dice.choice(("", "x", "\x1b[2J", f"{key}.", "../" + str(key)))] = holder.pop(key)
    elif how == "elsewhere":
        holder[key] = copy.deepcopy(_at(value, dice.choice(places)))
    elif how == "scale" and isinstance(holder[key], (int, float)):
        holder[key] *= dice.choice((-1, 2, 1000, 1e30))
    else:
        holder[key] = dice.choice(STRANGE)
    return f"{how} {'.'.join(map(str, path))}"


def changed_json(value: Any, dice: Dice) -> tuple[Any, str]:
    """A JSON object with one to three changes, and which."""
    found = copy.deepcopy(value)
    done = []
    for _ in range(dice.choice((1, 1, 2, 3))):
        if not isinstance(found, (dict, list)) or not found:
            break
        done.append(_change(found, dice))
    return found, ", ".join(done)


def damaged_json(text: bytes, dice: Dice) -> tuple[bytes, str]:
    """A JSON text with damaged bytes or, twice as often, with another structure; the text stays JSON then."""
    if dice.random() < 1 / 3:
        return damaged(text, dice)
    while True:
        found, how = changed_json(json.loads(text), dice)
        written = json.dumps(found).encode()
        if json.loads(text) != json.loads(written):
            return written, how
