"""What the subcommands share: the type of a time, and how warnings are shown."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from runtimes.errors import RuntimesWarning
from runtimes.printable import note


@contextmanager
def notes() -> Iterator[None]:
    """Show our own warnings as one line each, on standard error."""
    shown = warnings.showwarning

    def show(message: Any, category: type[Warning], *rest: Any) -> None:
        if issubclass(category, RuntimesWarning):
            note(f"warning: {message}")
        else:
            shown(message, category, *rest)

    with warnings.catch_warnings():
        warnings.simplefilter("default", RuntimesWarning)
        warnings.showwarning = show  # type: ignore[assignment]  # its last two parameters pass through *rest
        yield


def timestep(text: str) -> Fraction:
    """A time as a decimal or a ratio."""
    try:
        t = Fraction(text)
    except (ValueError, ZeroDivisionError):
        t = Fraction(0)
    if not 0 < t < 1:
        raise argparse.ArgumentTypeError(f"t is {text!r}; expected 0 < t < 1, for example 0.25 or 1/3")
    return t
