"""What a kind of input provides, and how one try is judged."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import Protocol

from runtimes.errors import RuntimesWarning

MAX_LINE = 3000
"""Characters of a message; a longer one repeats what the file says."""


class Outcome(StrEnum):
    """How a try ended; the last three are found by the process that watches."""

    REFUSED = "refused in one line"
    RIGHT = "accepted and right"
    WRONG = "wrong result in silence"
    TRACEBACK = "traceback"
    MEMORY = "over memory"
    HANG = "hang"
    CRASH = "crash"


class Trial(Protocol):
    """Writes inputs of one kind and feeds them to the code under test."""

    def write(self, folder: Path, dice: random.Random | None) -> str:
        """Write one damaged input into an empty folder, a whole one without ``dice``; returns what was done to it."""

    def attempt(self, folder: Path) -> str:
        """Use what was written; returns what is wrong with the result, or nothing. Refusals are raised."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One row of the summary.

    Attributes:
        count: how many inputs by default.
        prepare: writes whole files into a folder, once for all workers.
        trial: starts from that folder.
    """

    count: int
    prepare: Callable[[Path], None]
    trial: Callable[[Path], Trial]


class WrongError(Exception):
    """Output that breaks a rule, such as a message in several lines."""


def judge(trial: Trial, folder: Path) -> tuple[Outcome, str]:
    """One try with whatever was written into ``folder``."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            wrong = trial.attempt(folder)
        except Exception as error:
            return _judge_error(error)
    foreign = [item for item in told if not issubclass(item.category, RuntimesWarning)]
    if foreign:
        return Outcome.TRACEBACK, f"a warning of a library: {foreign[0].category.__name__}: {foreign[0].message}"
    return (Outcome.WRONG, wrong) if wrong else (Outcome.RIGHT, "")


def _judge_error(error: Exception) -> tuple[Outcome, str]:
    import traceback

    text = str(error)
    ours = isinstance(getattr(error, "exit_code", None), int) or isinstance(error, OSError)
    if not ours:
        return Outcome.TRACEBACK, "".join(traceback.format_exception(error))[-3000:]
    if len(text) > MAX_LINE:
        return Outcome.TRACEBACK, f"a message of {len(text)} characters: {text[:200]!r}"
    return Outcome.REFUSED, text


def run_command(main: Callable[[list[str]], int], arguments: list[str]) -> str:
    """Run a command line in this process as a shell would; returns what it printed to standard output.

    Raises:
        RefusedError: it ended in one line and an exit code of 1 or 2.
        WrongError: it did not, or printed what acts on a terminal.
    """
    from runtimes.cli import run

    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = run("fuzz", main, arguments)  # type: ignore[arg-type]  # a command takes None as well
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    said = err.getvalue()
    acting = sorted({char for char in said + out.getvalue() if not char.isprintable() and char not in "\n\r"})
    if acting:
        raise WrongError(f"characters that act on a terminal: {acting[:5]}: {said[-300:]!r}")
    if code not in (0, 1, 2):
        raise WrongError(f"exit code {code}: {said[-3000:]}")
    if code:
        last = said.strip().splitlines()[-1:] or ["without a word"]
        if max(map(len, said.splitlines()), default=0) > MAX_LINE:
            raise WrongError(f"a line of {max(map(len, said.splitlines()))} characters: {last[0][:200]!r}")
        raise RefusedError(last[0])
    return out.getvalue()


class RefusedError(Exception):
    """A command ended in one line."""

    exit_code = 1
