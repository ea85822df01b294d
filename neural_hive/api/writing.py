"""What routes that write have in common: what is asked for, by whom; and the way into the log."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Final

import msgspec
from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from neural_hive.api.answers import written
from neural_hive.api.message_keys import MessageKey, MessageKeyOf
from neural_hive.api.pending import WaitS
from neural_hive.api.preconditions import Precondition, Revised
from neural_hive.api.services import IdentityOf, Services, ServicesOf
from neural_hive.sdk.sender import Token

REASON_CHARS_MAX: Final = 1_000
AT_ONCE: Final = 8  # outcomes that one request waits for at the same time
Text = Annotated[str, StringConstraints(max_length=512)]


class Asked(BaseModel):
    """Something that somebody asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    reason: Annotated[
        str, Field(min_length=1, max_length=REASON_CHARS_MAX, description="Why; it stays in the log")
    ]


class Sending(msgspec.Struct, frozen=True):
    """One of several messages."""

    content: msgspec.Struct
    message_id: str
    routing_id: str


class Became(msgspec.Struct, frozen=True):
    """What became of one. PUBLISHED: it is in the log, and not known yet."""

    status: str  # ACCEPTED, NOTHING_NEW, REFUSED, DEAD_LETTER, PUBLISHED
    reason: str = ""


async def publish(
    services: Services,
    topic: str,
    content: msgspec.Struct,
    key: MessageKey,
    routing_id: str,
    wait_s: float,
    resource: str,
    *,
    created: bool = False,
    loose: Collection[str] = (),
) -> Response:
    """Publishes a message, and answers with what became of it. Raises Problem and what `Repeats.send` raises."""
    token = await services.publishing.run(
        services.repeats.send, topic, content, key.message_id, routing_id, key.is_keyed, loose
    )
    return written(token, await services.pending.outcome(token, wait_s), resource, created)


class Asker:
    """Who asks for something, and how it is answered: what a route is given that writes one message."""

    def __init__(self, services: ServicesOf, who: IdentityOf, key: MessageKeyOf, wait_s: WaitS) -> None:
        self.services, self.key = services, key
        self.name = who.name
        self._wait_s = wait_s

    async def publish(
        self,
        topic: str,
        content: msgspec.Struct,
        routing_id: str,
        resource: str,
        *,
        created: bool = False,
        loose: Collection[str] = (),
    ) -> Response:
        """See `publish` of this module."""
        how = self.key, routing_id, self._wait_s, resource
        return await publish(self.services, topic, content, *how, created=created, loose=loose)

    async def revise(
        self,
        topic: str,
        revised: Callable[[int], msgspec.Struct],
        precondition: Precondition,
        found: Revised,
        revision: int | None,
        routing_id: str,
        resource: str,
    ) -> Response:
        """Publishes another revision of what was found; `revision`: which one the body says that it changes.

        Raises Problem: that cannot be told, or is not the newest any more.
        """
        changed = await precondition.revision(found, revision, topic)
        loose = () if revision else ("revision",)
        return await self.publish(topic, revised(changed), routing_id, resource, loose=loose)


AskerOf = Annotated[Asker, Depends(Asker)]


async def publish_each(
    services: Services,
    topic: str,
    messages: Sequence[Sending],
    is_keyed: bool,
    wait_s: float,
    loose: Collection[str] = (),
) -> list[Became]:
    """Publishes messages in their order, then waits for all outcomes together. Raises as `publish` does.

    What was published before one fails is in the log: asked again with the same ids, it is not published again.
    """
    tokens = await services.publishing.run(_send_each, services, topic, messages, is_keyed, loose)
    until, turns = time.monotonic() + wait_s, asyncio.Semaphore(AT_ONCE)

    async def became(token: Token) -> Became:
        async with turns:
            outcome = await services.pending.outcome(token, until - time.monotonic())
        return Became(outcome.verdict.value, outcome.reason) if outcome else Became("PUBLISHED")

    return list(await asyncio.gather(*map(became, tokens)))


def _send_each(
    services: Services, topic: str, messages: Sequence[Sending], is_keyed: bool, loose: Collection[str]
) -> list[Token]:
    send = services.repeats.send
    return [send(topic, m.content, m.message_id, m.routing_id, is_keyed, loose) for m in messages]
