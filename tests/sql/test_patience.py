"""A client that takes nothing of its answer keeps no slot."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from neural_hive.connectors.clickhouse_answer import Held, Patience
from neural_hive.connectors.clickhouse_lanes import Lane, Lanes


async def nothing() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize("takes", [True, False])
def test_the_slot_is_given_back(takes: bool) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if not takes and message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def asked() -> int:
        lane = Lane("test", 1, 0)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            stack = AsyncExitStack()
            await stack.enter_async_context(lane.slot())
            await Held(Response(b"large"), stack)(scope, receive, send)

        await Patience(app, 0.05)({"type": "http"}, nothing, send)
        lane.close()
        return lane.inside

    assert asyncio.run(asked()) == 0
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


def test_lanes_within_one_share_its_bound() -> None:
    async def most() -> tuple[int, int]:
        whole = Lane("whole", 2, 10)
        lanes = Lanes(whole, 2, 10, limit=2)
        running = highest = 0

        async def ask(key: str) -> None:
            nonlocal running, highest
            async with lanes.of(key).slot():
                running += 1
                highest = max(highest, running)
                await asyncio.sleep(0.001)
                running -= 1

        await asyncio.gather(*(ask(key) for key in "aabbcc"))
        whole.close()
        return highest, whole.inside

    assert asyncio.run(most()) == (2, 0)
