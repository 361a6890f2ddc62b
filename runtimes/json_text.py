"""JSON of files that are not trusted."""

from __future__ import annotations

import json
import math
import re
from typing import Any

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
        ValueError: not JSON, nested deeper than :data:`DEPTH`, or a number that ``finite`` refuses.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    if text.count("[") + text.count("{") > DEPTH:
        _check_depth(text)
    if finite:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    return json.loads(text)


def _check_depth(text: str) -> None:
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH:
            raise ValueError(f"it is nested deeper than {DEPTH} levels")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value
