"""Systems that are broken on purpose, to see whether the oracle of the real ones notices."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from neural_hive.aggregates.freeze_exception import FreezeException, Standing
from neural_hive.aggregates.slot import SlotGranted, SlotOutcome
from neural_hive.aggregates.ticket import Status, reports, state
from neural_hive.aggregates.vocabulary import DeliveryMode
from neural_hive.streams.orchestrator import allocation as orchestrator_allocation
from neural_hive.streams.orchestrator import freezes as orchestrator_freezes
from neural_hive.streams.orchestrator import market as orchestrator_market
from neural_hive.streams.orchestrator.flow import Flow
from neural_hive.streams.orchestrator.freezes import Holding
from neural_hive.streams.registry import slots as registry_slots
from neural_hive.streams.registry import system as registry
from neural_hive.streams.registry.slots import Answers

Broken = tuple[Any, str, Callable[..., Any]]  # whose, which, and what instead


def _one_too_many() -> Broken:
    """The registry gives away one slot more than there is."""
    real = registry_slots._room

    def room(*about: Any) -> Any:
        found = real(*about)
        return msgspec.structs.replace(found, capacity=found.capacity + 1)

    return registry_slots, "_room", room


def _unheard_grants() -> Broken:
    """Who waited for a slot and gets one is not told."""
    real = Answers.note

    def note(self: Answers, events: Iterable[Any]) -> None:
        real(self, (e for e in events if not (isinstance(e, SlotGranted) and e.held > 1)))

    return Answers, "note", note


def _kept_slots() -> Broken:
    """Slots of attempts that never began are not given back."""
    real = Flow.send

    def send(self: Flow) -> None:
        for claim, releases in self._releases.items():
            self._releases[claim] = [r for r in releases if r.outcome is not SlotOutcome.WITHDRAWN]
        real(self)

    return Flow, "send", send


def _repeated_requests() -> Broken:
    """What the registry is told is told twice."""
    real = Flow._tell

    def tell(self: Flow, *message: Any) -> None:
        real(self, *message)
        real(self, *message)

    return Flow, "_tell", tell


def _any_retry() -> Broken:
    """What must be delivered once at most is tried again."""

    def can_retry(ticket: Any, now: int, deadline_at: int) -> bool:
        went_wrong = ticket.status in (Status.FAILED, Status.TIMED_OUT)
        return went_wrong and 1 <= ticket.attempt <= ticket.created.task.max_retries

    return reports, "can_retry", can_retry


def _lost_and_again() -> Broken:
    """What must be done exactly once is tried again by itself, though it had begun."""
    real = state._may_be_repeated

    def may_be_repeated(ticket: Any) -> bool:
        return real(ticket) or ticket.created.delivery_mode is DeliveryMode.EXACTLY_ONCE

    return state, "_may_be_repeated", may_be_repeated


def _unheard_losses() -> Broken:
    """Who has work at an agent that falls silent is not told."""
    return registry, "note_agent", lambda unit, before, after: None


def _endless_losses() -> Broken:
    """Who has nothing more at a lost agent is not told."""
    return registry_slots, "note_given_back", lambda unit, agent_id, workflow_id: None


def _any_report() -> Broken:
    """A report counts whatever attempt and agent it speaks of."""
    return reports, "_stale", lambda ticket, command: "" if ticket.attempt else "never given"


def _blind_choice() -> Broken:
    """Agents are chosen for deployments that are frozen."""
    return orchestrator_market, "frozen_of", lambda flow, ticket: Holding()


def _endless_exceptions() -> Broken:
    """What an exception names goes on although its time is over."""
    return FreezeException, "holds", lambda self, now: self.standing is Standing.APPROVED


def _any_exception() -> Broken:
    """Whatever an exception names, everything is excepted."""

    def excepted(flow: Flow, ticket: Any, holding: Holding) -> Holding:
        first = next(iter(orchestrator_freezes.exceptions_of(flow).values()), "")
        return msgspec.structs.replace(holding, exception_id=first) if holding.freezes else holding

    return orchestrator_freezes, "excepted", excepted


def _unnamed_exceptions() -> Broken:
    """Who goes by an exception does not say so."""
    real = orchestrator_allocation._allocation

    def allocation(*about: Any) -> Any:
        return msgspec.structs.replace(real(*about), exception_id="")

    return orchestrator_allocation, "_allocation", allocation


HIVE_MUTANTS = {
    "one slot too many": _one_too_many,
    "grants that nobody hears of": _unheard_grants,
    "slots that are kept": _kept_slots,
    "requests sent twice": _repeated_requests,
    "AT_MOST_ONCE tried again": _any_retry,
    "EXACTLY_ONCE tried again": _lost_and_again,
    "losses that nobody hears of": _unheard_losses,
    "losses that never end": _endless_losses,
    "reports of any attempt": _any_report,
    "frozen deployments given out": _blind_choice,
    "exceptions that never end": _endless_exceptions,
    "exceptions of anything": _any_exception,
    "exceptions that nobody names": _unnamed_exceptions,
}


@contextmanager
def broken(name: str) -> Iterator[None]:
    """While it lasts the systems are broken in one way."""
    with patch.object(*HIVE_MUTANTS[name]()):
        yield
