"""A tally of even amounts: a second aggregate, whose events stand in a topic of their own."""

from neural_hive.aggregates.aggregate import Aggregate, Command, Event


class Note(Command, frozen=True):
    """Notes an amount."""

    amount: int


class AmountNoted(Event, frozen=True):
    """An amount was noted."""

    amount: int


class Tally(Command, frozen=True):
    """What a tally is now."""

    total: int = 0


def decide(state: Tally | None, command: Note) -> list[AmountNoted]:
    """Everything is noted."""
    return [AmountNoted(command.amount)]


def evolve(state: Tally | None, event: AmountNoted) -> Tally:
    """Adds one event."""
    return Tally((state.total if state else 0) + event.amount)


TALLY = Aggregate(
    name="tally", topic="toy.tallies", state=Tally, events=(AmountNoted,), decide=decide, evolve=evolve
)
