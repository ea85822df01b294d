"""The view of freezes holds those that block deployments now, and nothing else of their topic."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.aggregate import Event
from neural_hive.aggregates.burn import Level
from neural_hive.aggregates.freeze import (
    BY_HAND,
    FREEZE,
    DeployFreeze,
    Freeze,
    FreezeRearmed,
    FreezeResolved,
    Resolve,
    Weigh,
)
from neural_hive.aggregates.freeze_policy import Action, FreezePolicy, Policy, Scope
from neural_hive.schemas.codec import BadRecord, encode_event
from neural_hive.schemas.envelope import NO_HASH, Envelope
from neural_hive.streams.freezes_view import FREEZES, Freezes
from tests.privacy.memory_keys import hidden

NOW = 1_795_365_762_000_000
ANN = hidden("ann")


def policy(*actions: Action) -> FreezePolicy:
    """Freezes a service below a tenth, and until a half is left."""
    return FreezePolicy(Policy("shop", "Shop", Scope.SERVICE, "shop", actions, 10.0, 50.0), 2)


def weigh(remaining: float, *actions: Action) -> Weigh:
    """What is left of the budget."""
    by = policy(*(actions or (Action.BLOCK_DEPLOY,)))
    return Weigh(by, "slo", "budget", remaining, Level.NORMAL, NOW, True, NOW)


def record(event: Event, freeze_id: str, aggregate: str = FREEZE.name) -> Any:
    """An event, as views take it."""
    head = Envelope(
        type(event).__name__, aggregate, 1, "l", "sla", "e", freeze_id, 1, NOW, "c", "c", "0" * 32, "0" * 16,
        1, "", 0, 0, NO_HASH,
    )  # fmt: skip
    value = encode_event(head, msgspec.to_builtins(event))
    return SimpleNamespace(value=lambda: value)


class Log:
    """Freezes as the calculator decides them, and the view of them."""

    def __init__(self) -> None:
        self.state: DeployFreeze | None = None
        self.view: Freezes = FREEZES.empty
        self.said: list[type[Event]] = []

    def decide(self, command: Any) -> Freezes:
        for event in FREEZE.decide(self.state, command):
            self.state = FREEZE.evolve(self.state, event)
            self.view = FREEZES.add(self.view, record(event, self.state.freeze_id))
            self.said.append(type(event))
        return self.view


def test_it_holds_what_is_active() -> None:
    log = Log()
    known = log.decide(weigh(0.05))
    assert log.state is not None and known == {log.state.freeze_id: log.state}
    assert log.decide(weigh(0.9)) == {}
    assert log.decide(weigh(0.01)).keys() == {log.state.freeze_id}
    assert log.decide(Resolve(ANN, "enough", NOW)) == {}
    assert log.decide(weigh(0.9)) == {}
    assert log.said[-2:] == [FreezeResolved, FreezeRearmed]


def test_one_by_hand_is_held_too() -> None:
    log = Log()
    (known,) = log.decide(Freeze(policy(Action.BLOCK_DEPLOY), ANN, "launch", NOW)).values()
    assert known.budget_id in ("", BY_HAND) and known.blocks(Action.BLOCK_DEPLOY, "shop", "")


@pytest.mark.parametrize("action", [Action.ALERT_ONLY, Action.BLOCK_SCALE])
def test_what_blocks_no_deployment_is_not(action: Action) -> None:
    log = Log()
    assert log.decide(weigh(0.05, action)) == log.decide(weigh(0.9, action)) == {}
    assert len(log.said) == 2


def test_other_aggregates_are_passed_over() -> None:
    log = Log()
    log.decide(weigh(0.05))
    assert log.state is not None
    (event,) = FREEZE.decide(log.state, weigh(0.9))
    assert FREEZES.add(log.view, record(event, log.state.freeze_id, "another")) is log.view


def test_what_nobody_can_read_is_raised_for_the_reader_to_skip() -> None:
    with pytest.raises(BadRecord):
        FREEZES.add({}, SimpleNamespace(value=lambda: b"nonsense"))
