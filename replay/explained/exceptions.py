"""By which exceptions a ticket went although it was frozen: who has asked for each, and who has allowed it."""

from collections.abc import Iterator, Sequence

from neural_hive.aggregates.freeze_exception import (
    FREEZE_EXCEPTION,
    FreezeExceptionApproved,
    FreezeExceptionRequested,
)
from neural_hive.replay.changes import time_text
from neural_hive.replay.explained.sentence import Fact, Sentence, last_of, quoted, tell
from neural_hive.replay.history import Happening


def exceptions_of(own: Sequence[Fact]) -> list[str]:
    """The ids of the exceptions that a ticket's events name, each once, in their order."""
    named = (getattr(fact.event, "exception_id", "") for fact in own)
    return list(dict.fromkeys(name for name in named if name))


def concerns_exception(exception_id: str, happening: Happening) -> bool:
    """Whether an event is of an exception."""
    head = happening.envelope
    return head.aggregate_type == FREEZE_EXCEPTION.name and head.aggregate_id == exception_id


def explain_exceptions(names: Sequence[str], related: Sequence[Fact]) -> Iterator[Sentence]:
    """A sentence for each; none, if the log has not what was said of it."""
    for name in names:
        own = [fact for fact in related if fact.aggregate_id == name]
        asked, allowed = last_of(own, FreezeExceptionRequested), last_of(own, FreezeExceptionApproved)
        if asked is not None and allowed is not None:
            what = f"{asked.event.scope.lower()} {asked.event.subject}"
            yield tell(
                f"Exception {name} is for {what}: {asked.event.requested_by} asked for it at {asked.when} "
                f"({quoted(asked.event.reason)}), and {allowed.event.approved_by} allowed it at {allowed.when} until "
                f"{time_text(allowed.event.expires_at)} ({quoted(allowed.event.answer)}).",
                asked,
                allowed,
            )
