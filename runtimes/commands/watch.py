"""A progress bar on terminals, a line now and then elsewhere, and Ctrl-C that lets the work end well."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from runtimes.video.summary import Progress

_LINE_EVERY_S = 30.0

Watch = tuple[Callable[[str], None], Callable[[Progress], None]]
"""Functions for notes and for progress."""


@contextmanager
def interruptible(note: Callable[[str], None]) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets; the second interrupts as usual."""
    stop = threading.Event()

    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        note("stopping: the frame in work is finished and the file closed; once more stops at once")

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
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    if not console.is_terminal:
        yield tell, _lines(tell)
        return
    from rich.progress import (
        BarColumn,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[frames]} frames, {task.fields[fps]:.2f} fps, left"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("after"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, frames=0, fps=0.0)
        start = time.monotonic()

        def show(progress: Progress) -> None:
            elapsed = time.monotonic() - start
            done, total = _share(progress)
            fps = progress.frames_out / elapsed if elapsed else 0.0
            bar.update(task, completed=done, total=total, frames=progress.frames_out, fps=fps)

        yield tell, show


def _share(progress: Progress) -> tuple[float, float | None]:
    """Source seconds done, and their total where it is known."""
    done = float(progress.position - progress.begin)
    return done, None if progress.total is None else float(progress.total - progress.begin)


def _lines(tell: Callable[[str], None]) -> Callable[[Progress], None]:
    """For logs: one line every half minute."""
    start = last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _LINE_EVERY_S:
            return
        last = now
        done, total = _share(progress)
        rate = progress.frames_out / (now - start)
        left = f", {(total - done) / done * (now - start):.0f} s left" if total and done > 0 else ""
        tell(f"{progress.frames_out} frames, {rate:.2f} fps{left}")

    return show
