"""Lanes: who is slow or down holds up nobody else, and what does not fit is put off."""

import asyncio
from collections.abc import Awaitable, Callable

from neural_hive.connectors.webhook_address import Endpoint
from neural_hive.streams.webhooks.lanes import (
    BUSY,
    DOWN,
    FAILURES_MAX,
    LANES_MAX,
    LEFT_ALONE_S_MAX,
    QUEUE_MAX,
    Lanes,
    PutOff,
)

SLOW, QUICK = Endpoint("https", "slow", 443), Endpoint("https", "quick", 443)


class Scene:
    """Lanes with a clock of their own."""

    def __init__(
        self, call: Callable[[int], Awaitable[bool]], per_endpoint: int = 4, at_once: int = 64
    ) -> None:
        self.now, self.put_off = 0.0, list[tuple[int, PutOff]]()
        self.lanes: Lanes[int] = Lanes(
            call, lambda work, why: self.put_off.append((work, why)), per_endpoint, at_once, lambda: self.now
        )

    async def one(self, endpoint: Endpoint, work: int) -> None:
        self.lanes.add(endpoint, work)
        await settled()


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_slow_one_has_few_at_once_and_the_others_go_on() -> None:
    async def go() -> None:
        gate, done, running = asyncio.Event(), list[int](), list[int]()

        async def call(work: int) -> bool:
            running.append(work)
            if work < 100_000:
                await gate.wait()
            done.append(work)
            return True

        scene = Scene(call)
        for work in range(QUEUE_MAX + 10):
            scene.lanes.add(SLOW, work)
        await settled()
        assert running == [0, 1, 2, 3]
        for work in range(100_000, 100_100):
            scene.lanes.add(QUICK, work)
        await settled()
        assert sorted(done) == list(range(100_000, 100_100))
        assert [(work, why.reason) for work, why in scene.put_off] == [
            (work, BUSY) for work in range(QUEUE_MAX + 4, QUEUE_MAX + 10)
        ]
        assert all(why.wait_ms == QUEUE_MAX / 2 / 4 * 1_000 for _, why in scene.put_off), "a call takes 1 s"
        gate.set()
        while len(done) < 100 + QUEUE_MAX + 4:
            await asyncio.sleep(0.001)
        assert {work for work in done if work < 100_000} == set(range(QUEUE_MAX + 4))

    asyncio.run(go())


def test_all_together_have_a_limit_and_take_turns() -> None:
    async def go() -> None:
        gate, most = asyncio.Event(), 0

        async def call(work: int) -> bool:
            nonlocal most
            most = max(most, scene.lanes.running)
            await gate.wait()
            return True

        scene = Scene(call, per_endpoint=4, at_once=6)
        for number in range(5):
            for work in range(8):
                scene.lanes.add(Endpoint("https", f"h{number}", 443), work)
        await settled()
        assert scene.lanes.running == 6
        gate.set()
        await scene.lanes.drain()
        assert most == 6

    asyncio.run(go())


def test_who_fails_again_and_again_is_left_alone_then_asked_once() -> None:
    async def go() -> None:
        is_well, calls = False, list[int]()

        async def call(work: int) -> bool:
            calls.append(work)
            return is_well

        scene = Scene(call, per_endpoint=1)
        for work in range(FAILURES_MAX + 3):
            scene.lanes.add(SLOW, work)
        await settled()
        assert calls == list(range(FAILURES_MAX)) and scene.lanes.open_count == 1
        assert [why.reason for _, why in scene.put_off] == [DOWN] * 3
        assert all(why.wait_ms == 30_000 for _, why in scene.put_off)
        await scene.one(SLOW, 100)
        assert 100 not in calls
        scene.now = 31.0
        for work in (101, 102):
            scene.lanes.add(SLOW, work)
        await settled()
        assert 101 in calls and 102 not in calls and scene.put_off[-1][1].wait_ms == 60_000
        scene.now, is_well = 31.0 + 61.0, True
        await scene.one(SLOW, 103)
        await scene.one(SLOW, 104)
        assert {103, 104} <= set(calls) and scene.lanes.open_count == 0

    asyncio.run(go())


def test_it_is_never_left_alone_for_ever() -> None:
    async def go() -> None:
        async def call(work: int) -> bool:
            return False

        scene = Scene(call)
        for work in range(FAILURES_MAX + 30):
            await scene.one(SLOW, work)
            scene.now += LEFT_ALONE_S_MAX
        await scene.one(SLOW, -1)
        scene.lanes.add(SLOW, -2)
        assert scene.put_off[-1][1].wait_ms <= LEFT_ALONE_S_MAX * 1_000

    asyncio.run(go())


def test_lanes_are_bounded() -> None:
    async def go() -> None:
        async def call(work: int) -> bool:
            return True

        scene = Scene(call)
        for work in range(LANES_MAX + 500):
            scene.lanes.add(Endpoint("https", f"h{work}", 443), work)
            if work % 100 == 0:
                await settled()
        await scene.lanes.drain()
        assert len(scene.lanes._lanes) <= LANES_MAX + 1

    asyncio.run(go())
