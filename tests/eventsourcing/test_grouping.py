"""Threads that write together: each is answered once, by one that leads."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent

from neural_hive.eventsourcing.grouping import GROUP_RECORDS_MAX, Groups, Request


def request(count: int = 1) -> Request:
    return Request([StoredEvent(uuid4(), version, "t", b"") for version in range(count)])


def test_each_is_answered_once_and_many_share_a_group() -> None:
    groups, taken, alone = list[int](), set[int](), threading.Lock()

    def take(group: list[Request]) -> None:
        assert alone.acquire(blocking=False)
        time.sleep(random.random() / 500)
        groups.append(len(group))
        for one in group:
            assert id(one) not in taken
            taken.add(id(one))
            one.succeed([id(one)])
        alone.release()

    together = Groups()
    requests = [request() for _ in range(2_000)]

    def submit(one: Request) -> bool:
        together.submit(one, take)
        return one.answer() == [id(one)]

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(submit, requests))
    assert sum(groups) == 2_000 and len(groups) < 1_000
    assert not together._is_led and not together._waiting


def test_a_group_has_a_size() -> None:
    groups, may = list[list[Request]](), threading.Event()

    def take(group: list[Request]) -> None:
        may.wait(30)
        groups.append(group)
        for one in group:
            one.succeed([])

    together, sizes = Groups(), [1, 5, GROUP_RECORDS_MAX * 2, 5, GROUP_RECORDS_MAX - 5, 1]
    threads = []
    for count, size in enumerate(sizes):
        threads.append(threading.Thread(target=together.submit, args=(request(size), take)))
        threads[-1].start()
        while len(together._waiting) < count:
            time.sleep(0.001)
    may.set()
    for thread in threads:
        thread.join(30)
    assert [[one.records for one in group] for group in groups] == [
        [1],
        [5],
        [GROUP_RECORDS_MAX * 2],
        [5, GROUP_RECORDS_MAX - 5],
        [1],
    ]


def test_one_that_fails_leaves_the_lead_to_the_next() -> None:
    def take(group: list[Request]) -> None:
        error = KeyboardInterrupt() if any(one.records == 13 for one in group) else None
        for one in group:
            one.fail(error or ValueError("no"))
        if error:
            raise error

    together = Groups()
    with pytest.raises(KeyboardInterrupt):
        together.submit(request(13), take)
    after = request()
    together.submit(after, take)
    with pytest.raises(ValueError, match="no"):
        after.answer()


def test_one_that_is_interrupted_takes_its_insert_back(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, may = list[Request](), threading.Event()

    def take(group: list[Request]) -> None:
        may.wait(30)
        for one in group:
            answered.append(one)
            one.succeed([])

    together, first, interrupted, last = Groups(), request(), request(), request()
    threads = [threading.Thread(target=together.submit, args=(first, take))]
    threads[0].start()
    while not first.leads or together._waiting:
        time.sleep(0.001)

    def interrupt() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(interrupted.woken, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        together.submit(interrupted, take)
    threads.append(threading.Thread(target=together.submit, args=(last, take)))
    threads[1].start()
    may.set()
    for thread in threads:
        thread.join(30)
    assert answered == [first, last]
