"""Order, bounds and failures of the threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from runtimes.video.stages import Crew


def test_order_is_kept_over_workers_of_different_speed() -> None:
    def slow(x: int) -> int:
        time.sleep(0.004)
        return -x

    with Crew() as crew:
        assert list(crew.parallel(crew.stage(range(60), 2), [slow, lambda x: -x, slow], 3)) == [-x for x in range(60)]


def test_at_most_the_depth_is_ahead() -> None:
    made = 0

    def source() -> Iterator[int]:
        nonlocal made
        for i in range(100):
            made += 1
            yield i

    with Crew() as crew:
        stage = crew.stage(source(), 3)
        assert next(stage) == 0
        time.sleep(0.3)
        assert made <= 1 + 3 + 1, "one taken, three waiting, one in hand"


@pytest.mark.parametrize("where", ["source", "worker"])
def test_a_failure_arrives_after_what_came_before_it(where: str) -> None:
    def source() -> Iterator[int]:
        yield from range(5)
        if where == "source":
            raise ZeroDivisionError
        yield 0

    got: list[float] = []

    def invert(x: int) -> float:
        return x / (0 if where == "worker" and x == 4 else 1)

    def consume(crew: Crew) -> None:
        for x in crew.parallel(source(), [invert], 2):
            got.append(x)

    with Crew() as crew, pytest.raises(ZeroDivisionError):
        consume(crew)
    assert got == ([0, 1, 2, 3, 4] if where == "source" else [0, 1, 2, 3])


def test_a_result_that_comes_as_the_wait_ends_is_kept() -> None:
    class Late(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            if timeout is not None:
                self.set_result(7)
                raise TimeoutError
            return super().result()

    assert Crew()._wait(Late()) == 7


def test_leaving_early_ends_all_threads() -> None:
    before = threading.active_count()

    def endless() -> Iterator[int]:
        while True:
            yield 1

    with Crew() as crew:
        for i, _ in enumerate(crew.stage(crew.parallel(crew.stage(endless(), 2), [lambda x: x] * 3, 2), 2)):
            if i == 10:
                break
    assert threading.active_count() == before
