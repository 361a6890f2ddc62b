"""A progress bar on terminals, a line now and then elsewhere, and Ctrl-C that lets the work end well."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from runtimes.printable import printable
from runtimes.video.summary import Progress

_LINE_EVERY_S = 30.0


Watch = tuple[Callable[[str], None], Callable[[Progress], None]]
"""Functions for notes and for progress."""


@contextmanager
def interruptible(tell: Callable[[str], None]) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets; the second interrupts as usual."""
    stop = threading.Event()

    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        tell("stopping: the frame in work is finished and the file closed; once more stops at once")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def watching() -> Iterator[Watch]:
    """Show progress on standard error."""
    from rich.console import Console

    console = Console(stderr=True)

    def tell(line: str) -> None:
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)

    if not console.is_terminal:
        yield tell, _lines(tell)
        return
    from rich.progress import (
        BarColumn,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[frames]} frames, {task.fields[left]} left after"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, frames=0, left="-:--:--")
        start = time.monotonic()

        def show(progress: Progress) -> None:
            elapsed = time.monotonic() - start
            left = seconds_left(progress, elapsed)
            bar.update(
                task,
                completed=float(progress.done),
                total=None if progress.total is None else float(progress.total),
                frames=progress.frames_out,
                left="-:--:--" if left is None else str(timedelta(seconds=round(left))),
            )

        yield tell, show


def seconds_left(progress: Progress, elapsed: float) -> float | None:
    """By the speed of this run; None where the source does not say how long it is, or nothing was done yet."""
    here = float(progress.done - progress.before)
    if progress.total is None or here <= 0:
        return None
    return max(0.0, float(progress.total - progress.done)) / here * elapsed


def _lines(tell: Callable[[str], None]) -> Callable[[Progress], None]:
    """For logs: one line every half minute."""
    start = last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _LINE_EVERY_S:
            return
        last = now
        left = seconds_left(progress, now - start)
        share = "" if not progress.total else f" ({float(progress.done / progress.total):.0%})"
        tell(f"{progress.frames_out} frames{share}" + ("" if left is None else f", {left:.0f} s left"))

    return show
