"""Waits for what becomes of messages, and for the tables to have it: for so long, and for so many at once."""

import re
from typing import Annotated, Final

from fastapi import Depends, Header

from neural_hive.api import metrics
from neural_hive.api.lanes import Lane
from neural_hive.schemas.extensions import all_topics
from neural_hive.schemas.topics import Kind
from neural_hive.sdk.log_places import LogPlaces
from neural_hive.sdk.outcome import Answers, NoAnswerYet, Outcome
from neural_hive.sdk.sender import BadToken, Token

WAITING_MAX: Final = 64
WAIT_S: Final = 10.0  # unless the caller prefers otherwise
WAIT_MAX_S: Final = 30.0
READ_AFTER: Final = "X-Read-After"
_OFFSET_MAX: Final = 2**63 - 1
_PREFERRED: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?(?:$|[,;\s])", re.IGNORECASE)
_AT_ONCE: Final = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", re.IGNORECASE)


class Pending:
    """Threads that wait, apart from those that read: a slow processor must not keep readers waiting."""

    def __init__(self, answers: Answers, log: LogPlaces, waiting_max: int = WAITING_MAX) -> None:
        self._answers, self._log = answers, log
        self._lane = Lane(waiting_max)

    async def token(self, text: str) -> Token:
        """The token that a caller names. Raises BadToken: there is no such place; Unreachable."""
        token = Token.parse(text)
        if not text.isascii() or not text.isprintable():
            raise BadToken(f"{text[:80]!a} is no token: it must be what publishing gave")
        topic = all_topics().get(token.topic)
        if (
            topic is None
            or topic.kind is not Kind.INPUT
            or max(token.offset, token.appended_at) > _OFFSET_MAX
        ):
            raise BadToken(f"{text[:80]!r} is no place of a message")
        count = await self._lane.run(self._log.partitions, token.topic)
        if token.partition >= count:
            raise BadToken(f"{token.topic} has partitions 0 to {count - 1}")
        return token

    async def outcome(self, token: Token, wait_s: float) -> Outcome | None:
        """What became of a message; None: that is not known within so many seconds, or too many wait already.

        Raises Unreachable, CircuitOpen, ClickHouseError.
        """
        if wait_s <= 0 or self._lane.is_full:
            return None
        with metrics.waiting().track_inprogress():
            try:
                return await self._lane.run(self._answers.wait, token, wait_s)
            except NoAnswerYet:
                return None


def preferred_wait_s(
    prefer: Annotated[
        str,
        Header(
            description=f"`wait=N`: for so many seconds, at most {WAIT_MAX_S:g}; `respond-async`: not at all"
        ),
    ] = "",
) -> float:
    """How long the caller wants to wait for an outcome (RFC 7240)."""
    if _AT_ONCE.search(prefer):
        return 0.0
    found = _PREFERRED.search(prefer)
    return min(float(found[1]), WAIT_MAX_S) if found else WAIT_S


WaitS = Annotated[float, Depends(preferred_wait_s)]
