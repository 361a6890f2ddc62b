"""What an export is doing and for how long: on a terminal one line that changes, elsewhere a line for each stage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from export.pipeline import Outcome


class Progress(Bars):
    """Use as a context manager; lines about finished artifacts stay."""

    def __init__(self, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        super().__init__(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._line = self.add_task("starting", total=None)
        self._number, self._total = 0, 1
        self._began = 0.0

    def begin(self, number: int, total: int) -> None:
        """Artifact ``number`` of ``total`` is next; the clock on the line begins again."""
        self._number, self._total = number, total
        self._began = time.monotonic()
        self.reset(self._line)

    def stage(self, text: str) -> None:
        """A new stage of the artifact."""
        line = self._count() + text
        if not self.console.is_terminal:
            self.console.print(line, soft_wrap=True)
        self.update(self._line, description=line)

    def finish(self, outcome: Outcome) -> None:
        """One of several is done: its verdict at once, the whole table comes at the end."""
        if self._total == 1:
            return
        psnr = f", {outcome.worst['psnr']:.1f} dB to PyTorch" if outcome.worst else ""
        took = time.monotonic() - self._began
        line = (
            f"{self._count()}{outcome.path.name}: {outcome.verdict}{psnr}, {outcome.bytes / 1e6:.1f} MB, {took:.0f} s"
        )
        self.console.print(line, soft_wrap=True)

    def _count(self) -> str:
        return f"{self._number} of {self._total}  " if self._number and self._total > 1 else ""
