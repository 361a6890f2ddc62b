"""Text of files, safe to print: a name or a tag can hold what a terminal takes for commands."""

from __future__ import annotations

import unicodedata

_JOINERS = ("\u200c", "\u200d")
"""Format characters that writing systems and emoji need, and that cannot reorder or hide text."""


def printable(text: str) -> str:
    """``text`` in one line, with control characters, overrides of direction and undecodable bytes as escapes.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(_escaped(char) if _acts(char) else char for char in text)


def _acts(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in _JOINERS


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
