"""One grammar for tests: `given(A, *events).when(command).then(*events)`, or `.then_rejected("part of the reason")`."""

from typing import Any

import pytest

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected


class Given:
    """A history."""

    def __init__(self, aggregate: Aggregate[Any], events: tuple[Event, ...]) -> None:
        self._aggregate = aggregate
        self.state: Any = None
        for event in events:
            self.state = aggregate.evolve(self.state, event)

    def when(self, *commands: Command) -> "When":
        """Commands, one after the other; each sees what those before it have changed. The last is examined."""
        *before, last = commands
        for command in before:
            for event in self._aggregate.decide(self.state, command):
                self.state = self._aggregate.evolve(self.state, event)
        return When(self._aggregate, self.state, last)


class When:
    """A command after a history."""

    def __init__(self, aggregate: Aggregate[Any], state: Any, command: Command) -> None:
        self._aggregate, self._state, self._command = aggregate, state, command

    @property
    def events(self) -> list[Any]:
        """What follows from the command."""
        return self._aggregate.decide(self._state, self._command)

    @property
    def state(self) -> Any:
        """The state after the command."""
        state = self._state
        for event in self.events:
            state = self._aggregate.evolve(state, event)
        return state

    def then(self, *expected: Event) -> None:
        """Exactly these events follow."""
        assert self.events == list(expected)

    def then_types(self, *expected: type[Event]) -> None:
        """Exactly events of these types follow."""
        assert [type(event) for event in self.events] == list(expected)

    def then_nothing(self) -> None:
        """No event follows."""
        assert self.events == []

    def then_rejected(self, reason: str) -> None:
        """The command is refused, and the reason says so."""
        with pytest.raises(Rejected) as refused:
            self._aggregate.decide(self._state, self._command)
        assert reason in str(refused.value)


def given(aggregate: Aggregate[Any], *events: Event) -> Given:
    """The history of one aggregate; no events: it does not exist."""
    return Given(aggregate, events)
