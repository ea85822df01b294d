"""What became of a message: waits until the system that reads it has, and the tables hold what it answered.

1. The system's group has committed an offset behind the message. It commits in the transaction of the events that
   follow from it: so these are in the log now, below the ends that the event topics have now.
2. The projector's positions have passed all records below those ends.
3. The archive holds the message's events, or its dead letter. Neither: it said nothing new.
"""

import time
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.kafka_offsets import Place
from neural_hive.following import DEAD_LETTERS
from neural_hive.projections.positions import read_standing
from neural_hive.schemas.topics import partition_of
from neural_hive.sdk.log_places import LogPlaces
from neural_hive.sdk.sender import PLANS, Token
from neural_hive.sdk.tables import Reader

if TYPE_CHECKING:
    from neural_hive.streams.systems import SystemSettings

EVENTS_MAX: Final = 1_000
_LOOK_EVERY_S: Final = 0.05
_LOOK_SELDOM_S: Final = 0.5
_NOT_THERE: Final = (60, 81)  # UNKNOWN_TABLE, UNKNOWN_DATABASE
_MARK: Final = (
    "source_topic = {topic:String} "
    "AND source_partition = {partition:UInt32} AND source_offset = {offset:UInt64}"
)

Range = tuple[int, int]  # first offset and the one behind the last


class NoAnswerYet(TimeoutError):
    """The time was over before the answer could be read; the text says what had not happened by then."""


class Verdict(StrEnum):
    """What became of a message."""

    ACCEPTED = "ACCEPTED"  # it has changed something
    REFUSED = "REFUSED"  # it broke a rule, and an event says so
    DEAD_LETTER = "DEAD_LETTER"  # it made no sense: no event, the reason stands with the dead letter
    NOTHING_NEW = "NOTHING_NEW"  # it was a repeat, or what it asks for was so already


class AnswerEvent(msgspec.Struct, frozen=True):
    """An event that a message caused; its payload stands in `events`."""

    event_type: str
    aggregate_type: str
    aggregate_id: str
    version: int
    event_id: str
    reason: str


class Outcome(msgspec.Struct, frozen=True):
    """What became of a message, and why. `events` holds the first EVENTS_MAX of `event_count`."""

    verdict: Verdict
    reason: str = ""
    events: tuple[AnswerEvent, ...] = ()
    event_count: int = 0

    @property
    def is_accepted(self) -> bool:
        """Whether what was asked for is so now."""
        return self.verdict in (Verdict.ACCEPTED, Verdict.NOTHING_NEW)


class Answers:
    """Waits for what becomes of messages; may be used from many threads if its reader may."""

    def __init__(self, log: LogPlaces, settings: "SystemSettings", reader: Reader) -> None:
        self._log = log
        self._settings = settings
        self._reader = reader

    def wait(self, token: Token, timeout_s: float) -> Outcome:
        """What became of a message. Raises NoAnswerYet, Unreachable, ClickHouseError."""
        until = time.monotonic() + timeout_s
        group, topics = self._system_of(token.topic)
        for _ in _looks(until, f"{group} has not come to {token}: does its processor run and keep up?"):
            if self._log.read_by(group, (token.topic, token.partition)) > token.offset:
                break
        grave = (DEAD_LETTERS, token.partition % self._log.partitions(DEAD_LETTERS))
        places = [*((topic, token.partition) for topic in topics), grave]
        ends = self._caught_up(places, until, f"{group} has answered {token}")
        starts = self._log.since(places, token.appended_at)
        found = {place: (starts[place], end) for place, end in ends.items() if 0 <= starts[place] < end}
        buried = {place: found.pop(place) for place in (grave,) if place in found}
        return self._answer(token, found) or self._dead_letter(token, buried) or Outcome(Verdict.NOTHING_NEW)

    def settle(self, workflow_id: str, timeout_s: float) -> None:
        """Waits until the tables hold all that the log has of a workflow now. Raises as `wait` does."""
        _, topics = self._system_of(PLANS)
        number = partition_of(workflow_id.encode(), self._log.partitions(topics[0]))
        until = time.monotonic() + timeout_s
        self._caught_up([(topic, number) for topic in topics], until, f"workflow {workflow_id} has ended")

    def _caught_up(self, places: list[Place], until: float, so_far: str) -> dict[Place, int]:
        """Waits until the tables have passed the ends that partitions have now; these ends."""
        ends = self._log.ends(places)
        behind = dict(ends)
        for _ in _looks(until, f"{so_far}, and the tables do not hold it yet: does the projector run?"):
            archived = self._archived()
            behind = {p: end for p, end in behind.items() if not self._has(p, archived.get(p, 0), end)}
            if not behind:
                break
        return ends

    def _has(self, place: Place, archived: int, end: int) -> bool:
        # The projector tells seldom that it has passed markers of transactions: they may be all that is missing.
        return archived >= end or self._log.is_empty(place, archived, end)

    def _system_of(self, topic: str) -> tuple[str, list[str]]:
        """The system that reads a topic, and its event topics."""
        # Only here: the systems take time to import, and who only publishes does not need them.
        from neural_hive.streams.systems import SYSTEMS

        for build in SYSTEMS.values():
            system = build(self._settings)
            if topic in system.inputs:
                return system.name, system.event_topics
        raise ValueError(f"no system reads {topic}: is the token one of another installation?")

    def _archived(self) -> dict[Place, int]:
        """Up to where each partition is in the tables."""
        try:
            return {place: found.next for place, found in read_standing(self._reader).positions.items()}
        except ClickHouseError as error:
            if error.code in _NOT_THERE:
                return {}  # the projector has not begun
            raise

    def _answer(self, token: Token, ranges: dict[Place, Range]) -> Outcome | None:
        """What the events say that the message caused, if it caused any."""
        rows = self._reader.rows(
            "SELECT event_type, aggregate_type, aggregate_id, version, event_id, "
            "if(JSONHas(payload, 'reasons'), "
            "arrayStringConcat(JSONExtract(payload, 'reasons', 'Array(String)'), '; '), "
            "JSONExtractString(payload, 'reason')), count() OVER () FROM events "
            f"WHERE ({_where(ranges)}) AND {_MARK} ORDER BY sequence LIMIT {EVENTS_MAX}",
            _mark(token),
        )
        if not rows:
            return None
        events = tuple(AnswerEvent(*row[:-1]) for row in rows)
        refusals = [event for event in events if event.event_type.endswith(("Refused", "Rejected"))]
        verdict = Verdict.REFUSED if refusals else Verdict.ACCEPTED
        return Outcome(verdict, refusals[0].reason if refusals else "", events, rows[0][-1])

    def _dead_letter(self, token: Token, ranges: dict[Place, Range]) -> Outcome | None:
        rows = self._reader.rows(
            f"SELECT reason FROM dead_letters WHERE ({_where(ranges)}) AND {_MARK} LIMIT 1", _mark(token)
        )
        return Outcome(Verdict.DEAD_LETTER, str(rows[0][0])) if rows else None


def _looks(until: float, missing: str) -> Iterator[None]:
    """Looks often at first, then seldom. Raises NoAnswerYet when the time is over."""
    pause_s = _LOOK_EVERY_S
    while True:
        yield
        if time.monotonic() + pause_s > until:
            raise NoAnswerYet(missing)
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.2, _LOOK_SELDOM_S)


def _where(ranges: dict[Place, Range]) -> str:
    """The archive's order is topic, partition, offset: so little of it is read."""
    conditions = (
        f"(topic = '{topic}' AND partition = {number} AND offset >= {start} AND offset < {end})"
        for (topic, number), (start, end) in ranges.items()
    )
    return " OR ".join(conditions) or "0"


def _mark(token: Token) -> dict[str, Any]:
    """What an answer to a message says of its place."""
    return {"topic": token.topic, "partition": token.partition, "offset": token.offset}
