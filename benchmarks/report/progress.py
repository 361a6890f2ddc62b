"""Progress on standard error: a bar on a terminal, elsewhere a line for each stage."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Progress:
    """Use as a context manager.

    Args:
        console: on standard error, so that tables can be piped.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bars.add_task("starting", total=None)

    def stage(self, text: str, total: int | None = None, done: int = 0) -> None:
        """A new stage of ``total`` steps, ``done`` of them before it began."""
        if not self._console.is_terminal:
            self._console.print(text, highlight=False, soft_wrap=True)
        self._bars.reset(self._task, description=text, total=total, completed=done)

    def advance(self) -> None:
        """One step is done."""
        self._bars.advance(self._task)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
