"""The circuit breaker under a clock of the test's own."""

import threading

import pytest

from neural_hive.sdk.breaker import Breaker, CircuitOpen, State


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Away(Exception):
    """The endpoint does not answer."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("kafka at a:1", failures_max=3, open_s=5, open_max_s=15, clock=clock)


def fail(breaker: Breaker, count: int = 1) -> None:
    for _ in range(count):
        with pytest.raises(Away), breaker.call(Away):
            raise Away("no route")


def test_failures_in_a_row_open_it_and_it_says_for_how_long(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 2)
    with breaker.call(Away):
        pass
    fail(breaker, 2)
    assert breaker.state is State.CLOSED
    fail(breaker)
    clock.now = 1.0
    asked = []
    words = r"kafka at a:1 .* another 4\.0 s; last: no route"
    with pytest.raises(CircuitOpen, match=words) as told, breaker.call(Away):
        asked.append(1)
    assert (asked, told.value.retry_in_s) == ([], 4.0)


def test_one_call_tries_after_the_wait_and_closes_it_or_opens_it_for_longer(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, 3)
    for wait_s in (5, 10, 15, 15):
        clock.now += wait_s - 0.5
        assert breaker.state is State.OPEN
        clock.now += 0.5
        assert breaker.state is State.HALF_OPEN
        fail(breaker)
    clock.now += 15
    with breaker.call(Away), pytest.raises(CircuitOpen), breaker.call(Away):
        raise AssertionError("only one may try")
    assert breaker.state is State.CLOSED
    fail(breaker, 3)
    clock.now += 5
    assert breaker.state is State.HALF_OPEN, "the wait begins small again"


def test_who_refuses_has_answered(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 2)
    with pytest.raises(KeyError), breaker.call(Away):
        raise KeyError("no such row")
    fail(breaker, 2)
    assert breaker.state is State.CLOSED


def test_an_interrupted_try_leaves_the_next_one_its_turn(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 5
    with pytest.raises(KeyboardInterrupt), breaker.call(Away):
        raise KeyboardInterrupt
    assert breaker.state is State.HALF_OPEN


def test_of_many_threads_one_tries(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 5
    together, done = threading.Barrier(8), threading.Event()
    tried: list[int] = []
    refused: list[int] = []

    def ask(number: int) -> None:
        together.wait(30)
        try:
            with breaker.call(Away):
                tried.append(number)
                assert done.wait(30)
        except CircuitOpen:
            refused.append(number)
            if len(refused) == 7:
                done.set()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(tried), len(refused)) == (1, 7)
    assert breaker.state is State.CLOSED
