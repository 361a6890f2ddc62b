"""An object in a process of its own: so are its memory and its crashes, and while it waits it uses no core.

The object is made inside a fresh interpreter and its methods are called over a pipe.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

TIMEOUT_S = 600.0
"""Longest wait for an answer: more means that the backend hangs."""

END_S = 3.0
"""How long an interrupted process may take to end."""

PEAK = "peak_mb"
"""Asked of the process itself, not of the object."""


class WorkerError(Exception):
    """The row cannot be measured: the message is its reason."""


class WorkerTimeoutError(WorkerError):
    """The answer did not come in time."""


class Worker:
    """An object in a process of its own.

    Args:
        build: a module-level function; what it returns is the object.
        arguments: for ``build``; they are pickled.
        log: file that receives what the process prints.

    Raises:
        WorkerError: from :meth:`call`, when the object raised, died or hangs.
    """

    def __init__(self, build: Callable[..., Any], *arguments: Any, log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._log = log
        self._process = context.Process(target=_serve, args=(theirs, build, arguments, str(log)), daemon=True)
        self._process.start()
        theirs.close()  # so that its end is seen when the process dies

    def call(self, method: str, *arguments: Any, timeout_s: float | None = None) -> Any:
        """Call a method of the object and wait for what it returns; see :meth:`answer` for ``timeout_s``.

        Raises:
            WorkerError: see above.
        """
        try:
            self._connection.send((method, arguments))
            return self.answer(timeout_s)
        except BrokenPipeError as error:
            raise WorkerError(self._why_it_died()) from error

    def answer(self, timeout_s: float | None = None) -> Any:
        """What the object returned; the first answer, its ``ready``, comes without a call.

        Args:
            timeout_s: the process is ended when it takes longer; None for :data:`TIMEOUT_S`, infinity to wait.

        Raises:
            WorkerError: see above.
        """
        wait = TIMEOUT_S if timeout_s is None else max(timeout_s, 0.0)
        try:
            if not self._connection.poll(None if math.isinf(wait) else wait):
                self._end()
                raise WorkerTimeoutError(f"no answer within {wait:.0f} s")
            fine, value = self._connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise WorkerError(self._why_it_died()) from error
        if not fine:
            raise WorkerError(value)
        return value

    def _end(self) -> None:
        """Interrupt the process, so that it removes what it has half written; kill it when that does not help."""
        if os.name == "posix" and self._process.pid is not None:
            os.kill(self._process.pid, signal.SIGINT)
            self._process.join(END_S)
        self._process.kill()
        self._process.join()

    @property
    def alive(self) -> bool:
        """Whether the process can still be called."""
        return self._process.is_alive()

    def _why_it_died(self) -> str:
        self._process.join(10.0)
        code = self._process.exitcode
        cause = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.is_file() else []
        return f"its process died ({cause})" + (f": {lines[-1]}" if lines else "")

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(10.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _serve(connection: Connection, build: Callable[..., Any], arguments: tuple[Any, ...], log: str) -> None:
    """The process: build, then answer calls until the pipe closes."""
    _redirect(log)
    try:
        target = _answer(connection, lambda: build(*arguments), lambda made: made.ready)
        while target is not None:
            method, values = connection.recv()
            function = peak_mb if method == PEAK else getattr(target, method)
            _answer(connection, lambda f=function, v=values: f(*v), lambda result: result)  # type: ignore[misc]
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return  # the parent is done, or was interrupted


def _answer(connection: Connection, work: Callable[[], Any], shown: Callable[[Any], Any]) -> Any:
    """Do the work and send (True, what to show of it) or (False, why it failed); returns its result or None."""
    try:
        result = work()
        reply = (True, shown(result))
    except Exception as error:  # whatever a backend raises becomes the reason of its row
        known = hasattr(error, "exit_code")
        connection.send((False, str(error) if known else f"{type(error).__name__}: {error}"))
        return None
    connection.send(reply)
    return result


def _redirect(log: str) -> None:
    """Backends print from native code; the table is no place for that."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB; memory of a GPU is not in it.

    Linux's ``ru_maxrss`` survives exec and would tell the parent's peak, so VmHWM is read there.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
