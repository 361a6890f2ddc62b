"""Threads with bounded queues between them. Order is kept, memory is bounded, a failure anywhere reaches the end."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

_POLL_S = 0.1
_END = object()


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _StoppedError(Exception):
    """Ends a thread of a crew that was closed."""


class Crew:
    """The threads of one pipeline. Leaving the ``with`` block stops and joins them all, whatever happened."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def stage(self, items: Iterable[T], depth: int) -> Iterator[T]:
        """Iterate ``items`` in a thread of its own, at most ``depth`` of them ahead.

        What the iteration raises is raised to the reader, after the items before it.
        """
        channel: _Channel[Any] = _Channel(depth, self._stop)

        def work() -> None:
            try:
                for item in items:
                    channel.put(item)
                channel.put(_END)
            except _StoppedError:
                return
            except BaseException as error:
                channel.put_last(_Failure(error))

        self._start(work)
        return _read(channel)

    def parallel(self, items: Iterable[T], workers: Sequence[Callable[[T], U]], depth: int) -> Iterator[U]:
        """Map items over several workers, a thread each, in the order of the items; at most ``depth`` wait."""
        todo: _Channel[tuple[Future[U], T]] = _Channel(depth, self._stop)

        def work(worker: Callable[[T], U]) -> None:
            try:
                while True:
                    future, item = todo.get()
                    try:
                        future.set_result(worker(item))
                    except BaseException as error:
                        future.set_exception(error)
            except _StoppedError:
                return

        def feed() -> Iterator[Future[U]]:
            for item in items:
                future: Future[U] = Future()
                todo.put((future, item))
                yield future

        for worker in workers:
            self._start(functools.partial(work, worker))
        for future in self.stage(feed(), depth + len(workers)):
            yield self._wait(future)

    def _wait(self, future: Future[U]) -> U:
        while True:
            try:
                return future.result(timeout=_POLL_S)
            except TimeoutError:
                if future.done():  # since the wait ended
                    return future.result()
                if self._stop.is_set():
                    raise _StoppedError from None

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()


class _Channel(Generic[T]):
    """A bounded queue whose waits end when the crew stops. Polls, so that signals reach the main thread everywhere."""

    def __init__(self, depth: int, stop: threading.Event) -> None:
        self._queue: queue.Queue[T] = queue.Queue(depth)
        self._stop = stop

    def put(self, item: T) -> None:
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
        raise _StoppedError

    def put_last(self, item: T) -> None:
        """Like put, but silent when the crew has stopped: nobody reads any more."""
        try:
            self.put(item)
        except _StoppedError:
            return

    def get(self) -> T:
        while not self._stop.is_set():
            try:
                return self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                continue
        raise _StoppedError


def _read(channel: _Channel[Any]) -> Iterator[Any]:
    while (item := channel.get()) is not _END:
        if isinstance(item, _Failure):
            raise item.error
        yield item
