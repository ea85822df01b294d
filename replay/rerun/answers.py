"""What the agents of a run report about what they are given.

What the history knows is taken from it: an attempt that goes to the same agent ends as it did, after the same time.
What it cannot know is assumed, and noted: how long another agent would have taken, how an attempt ends that never was.
"""

from collections import defaultdict
from statistics import median_low
from typing import Any, Final

import msgspec

from neural_hive.aggregates.identity import derived_id
from neural_hive.replay.rerun.attempts import Attempt, Attempts, Heard
from neural_hive.replay.rerun.outside import RESULTS
from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header

PRODUCER: Final = "what-if"
SHORTEST_MS: Final = 1
UNKNOWN_MS: Final = 1_000  # of a task that nobody has ever done, and whose plan does not estimate it


class Given(msgspec.Struct, frozen=True):
    """A ticket that a run has given to an agent."""

    workflow_id: str
    ticket_id: str
    attempt: int
    agent_id: str
    task_type: str
    at_ms: int
    estimated_ms: int = 0


class Answer(msgspec.Struct, frozen=True):
    """A report, and when it comes."""

    at_ms: int
    routing_id: str
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...] = ()
    about: Given | None = None  # of what is assumed: nobody says it when the attempt is over by then


class Assumed(msgspec.Struct, frozen=True):
    """An answer that the history does not have."""

    ticket_id: str
    attempt: int
    agent_id: str
    ran_ms: int  # from when it was given out to its end
    why: str


class Took(msgspec.Struct, frozen=True):
    """How long an attempt takes, from when it is given out."""

    to_start_ms: int
    to_end_ms: int


class Answers:
    """Who is asked when a ticket is given to an agent."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self.assumed: list[Assumed] = []
        by_type: defaultdict[str, list[Took]] = defaultdict(list)
        for attempt in attempts.known.values():
            if (result := attempt.result) and result.payload["outcome"] == "COMPLETED":
                by_type[attempt.task_type].append(_took(attempt, result))
        self._usual = {task_type: _median(all_of_it) for task_type, all_of_it in by_type.items()}

    def to(self, given: Given) -> list[Answer]:
        """What is reported about it, in the order of time. Empty: nothing ever is, as in the history."""
        then = self._attempts.known.get((given.ticket_id, given.attempt))
        if then is None:
            return self._modelled(given)
        if then.agent_id == given.agent_id:
            again = [_again(heard, then, given) for heard in then.heard]
            return again if _is_whole(then) else [*again, *self._modelled(given, then)]
        if result := then.result:
            self._assume(given, _took(then, result), f"it ends as it did at {then.agent_id}")
            return [_again(heard, then, given, is_assumed=True) for heard in (then.start, result) if heard]
        return self._modelled(given)

    def _assume(self, given: Given, took: Took, why: str) -> None:
        about = (given.ticket_id, given.attempt, given.agent_id)
        self.assumed.append(Assumed(*about, took.to_end_ms, why))

    def _modelled(self, given: Given, then: Attempt | None = None) -> list[Answer]:
        """An attempt that completes after the time that the history suggests. `then`: how far it had come at the same
        agent when it was ended from outside; so long it takes at least.
        """
        took, why = self._likely(given)
        has_begun = then is not None and then.start is not None
        if then is not None:
            least_ms = max([then.ended_at_ms - then.given_at_ms, *(heard.after_ms for heard in then.heard)])
            to_end_ms = max(took.to_end_ms, least_ms + SHORTEST_MS)
            took = Took(then.start.after_ms if then.start else to_end_ms, to_end_ms)
        self._assume(given, took, why)
        about = {
            "workflow_id": given.workflow_id,
            "ticket_id": given.ticket_id,
            "attempt": given.attempt,
            "agent_id": given.agent_id,
            "started_at": (given.at_ms + took.to_start_ms) * 1_000,
        }
        ended = {"outcome": "COMPLETED", "completed_at": (given.at_ms + took.to_end_ms) * 1_000, "error": ""}
        result = _new(
            given, "ReportResult", took.to_end_ms, {**about, **ended, **self._made(given.ticket_id)}
        )
        return [result] if has_begun else [_new(given, "ReportStart", took.to_start_ms, about), result]

    def _likely(self, given: Given) -> tuple[Took, str]:
        others = [a for a in self._attempts.of_ticket[given.ticket_id] if a.result]
        others.sort(key=lambda a: (a.agent_id != given.agent_id, a.result.payload["outcome"] != "COMPLETED"))  # type: ignore[union-attr]
        if others:
            of, result = others[0], others[0].result
            assert result is not None
            return _took(
                of, result
            ), f"it completes after as long as attempt {of.number} at {of.agent_id} took"
        if usual := self._usual.get(given.task_type):
            return usual, f"it completes after the median time of {given.task_type} tasks"
        estimated_ms = given.estimated_ms or UNKNOWN_MS
        why = "the plan estimates" if given.estimated_ms else "is taken where nothing is known"
        return Took(SHORTEST_MS, max(estimated_ms, SHORTEST_MS)), f"it completes after the time that {why}"

    def _made(self, ticket_id: str) -> dict[str, Any]:
        """What the ticket made when it was completed; nothing, if it never was."""
        for attempt in self._attempts.of_ticket[ticket_id]:
            result = attempt.result
            if result and result.payload["outcome"] == "COMPLETED":
                return {name: result.payload[name] for name in ("outputs", "artifacts", "exit_code")}
        return {"outputs": {}, "artifacts": [], "exit_code": None}


def _is_whole(attempt: Attempt) -> bool:
    """Whether all is known of how it went: its result, or that its agent was silent until its time was over."""
    return attempt.result is not None or attempt.end in ("TicketTimedOut", "TicketCompensationFailed")


def _took(attempt: Attempt, result: Heard) -> Took:
    start = attempt.start
    return Took(min(start.after_ms, result.after_ms) if start else result.after_ms, result.after_ms)


def _median(all_of_it: list[Took]) -> Took:
    return Took(
        median_low([took.to_start_ms for took in all_of_it]),
        median_low([took.to_end_ms for took in all_of_it]),
    )


def _again(heard: Heard, then: Attempt, given: Given, is_assumed: bool = False) -> Answer:
    """A report of then, said of this attempt: at another time, and perhaps by another agent."""
    later_us = (given.at_ms - then.given_at_ms) * 1_000
    about, record = given if is_assumed else None, heard.record
    place = (given.at_ms + heard.after_ms, given.workflow_id)
    if not later_us and given.agent_id == then.agent_id:
        return Answer(*place, record.value or b"", record.headers, about)
    payload = dict(heard.payload)
    if payload["agent_id"] == then.agent_id:
        payload["agent_id"] = given.agent_id
    for name in ("started_at", "completed_at"):
        if name in payload:
            payload[name] += later_us
    header = msgspec.structs.replace(heard.header, occurred_at=heard.header.occurred_at + later_us)
    return Answer(*place, encode_message(header, payload), record.headers, about)


def _new(given: Given, message_type: str, after_ms: int, payload: dict[str, Any]) -> Answer:
    at_ms = given.at_ms + after_ms
    message_id = derived_id(given.ticket_id, str(given.attempt), given.agent_id, message_type, PRODUCER)
    header = Header(
        message_id, message_type, at_ms * 1_000, given.workflow_id, given.workflow_id, "", "", "", PRODUCER
    )
    return Answer(at_ms, given.workflow_id, encode_message(header, payload), (), given)


__all__ = ["RESULTS", "Answer", "Answers", "Assumed", "Given"]
