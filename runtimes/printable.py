"""Text of files, safe to print: a name or a tag can hold what a terminal takes for commands."""

from __future__ import annotations

import sys
import unicodedata

_JOINERS = ("\u200c", "\u200d")
"""Format characters that writing systems and emoji need, and that cannot reorder or hide text."""

MAX_MESSAGE = 2000
"""Characters of a message that are shown; longer ones repeat what a file says."""

MAX_REASON = 300
"""Of a reason within a message."""


def printable(text: str) -> str:
    """``text`` in one line, with control characters, overrides of direction and undecodable bytes as escapes.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(_escaped(char) if _acts(char) else char for char in text)


def one_line(text: object, limit: int = MAX_MESSAGE) -> str:
    """A message as it is shown: printable, and without its middle where it is longer than ``limit`` characters."""
    whole = str(text)
    if len(whole) > limit:
        whole = f"{whole[: 3 * limit // 4]} ... {whole[-limit // 4 :]}"
    return printable(whole)


def note(line: str) -> None:
    """Tell the user on standard error, apart from what a program may read from standard output."""
    print(one_line(line), file=sys.stderr, flush=True)


def _acts(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in _JOINERS


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
