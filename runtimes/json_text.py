"""JSON of files that are not trusted."""

from __future__ import annotations

import json
import re
from typing import Any

DEPTH = 64
"""Deepest nesting. Packages raise Python's own limit for the whole process, and then brackets overflow the stack."""

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: not JSON, or nested deeper than :data:`DEPTH`.
    """
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH:
            raise ValueError(f"it is nested deeper than {DEPTH} levels")
    return json.loads(text)
