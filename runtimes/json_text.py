"""JSON of files that are not trusted."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

DEPTH = 64
"""Deepest nesting. Packages raise Python's own limit for the whole process, and then brackets overflow the stack."""

_STRINGS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")


def parse_json(text: str | bytes, *, finite: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        text: characters, or bytes in UTF-8, UTF-16 or UTF-32.
        finite: refuse NaN, Infinity, and numbers too large for a float, which Python takes and JSON does not have.

    Raises:
        ValueError: not JSON, a name twice in one object, nested deeper than :data:`DEPTH`, or a number that ``finite``
            refuses.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    if text.count("[") + text.count("{") > DEPTH:
        _check_depth(text)
    if finite:
        return json.loads(text, object_pairs_hook=_named_once, parse_constant=_refuse_constant, parse_float=_finite)
    return json.loads(text, object_pairs_hook=_named_once)


def as_text(value: Any) -> str:
    """A text. Raises ValueError where something else stands."""
    if type(value) is not str:
        _expected("a text", value)
    return value


def as_number(value: Any) -> float:
    """A finite number. Raises ValueError where something else stands, a number written as text too."""
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:  # false for NaN too
        _expected("a finite number", value)
    return float(value)


def as_whole(value: Any, low: int, high: int) -> int:
    """A whole number within both bounds. Raises ValueError where something else stands, 4.0 too."""
    if type(value) is not int or not low <= value <= high:
        _expected(f"a whole number from {low} to {high}", value)
    return value


def as_list(value: Any) -> list[Any]:
    """A list. Raises ValueError where something else stands."""
    if type(value) is not list:
        _expected("a list", value)
    return value


def as_table(value: Any) -> dict[str, Any]:
    """An object. Raises ValueError where something else stands."""
    if type(value) is not dict:
        _expected("an object", value)
    return value


def _expected(what: str, value: Any) -> NoReturn:
    raise ValueError(f"{repr(value)[:60]} stands where {what} is expected")


def _check_depth(text: str) -> None:
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH:
            raise ValueError(f"it is nested deeper than {DEPTH} levels")


def _named_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ in which of two they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value
