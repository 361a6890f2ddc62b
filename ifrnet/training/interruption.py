"""Ctrl-C and SIGTERM between two steps, so that a run can save what it has learnt before it ends."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Interruption:
    """Holds a signal back until the block ends, which then ends as the signal would have had it; a second one is not.

    Only the main thread can have handlers; in any other one nothing changes.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        """The signal that came."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # nohup and the like stay as they are
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if self.asked is not None:
            signal.raise_signal(self.asked)

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.asked is None:
            self.asked = number
            # The same SIGTERM may end the loader's workers, and its handler of that would break the step in work.
            child: Any = getattr(signal, "SIGCHLD", None)
            if child is not None and callable(signal.getsignal(child)):
                self._before[child] = signal.signal(child, lambda *_: None)
            return
        self.asked = None
        self._restore()
        signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
