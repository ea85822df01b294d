"""Ten thousand SLOs, and the events that they judge: the same for everybody who is measured.

Two thousand services have five SLOs each. An event is an attempt at a ticket of a service that has ended; each of the
service's SLOs says whether it was good. That is five samples.
"""

import random
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, SloType

SERVICES: Final = 2_000
BAD_SHARE: Final = 0.01
_MEAN_MS: Final = 150.0
_GOOD: Final = (
    ("available", "status = 'COMPLETED'"),
    ("100ms", "status = 'COMPLETED' AND duration_ms <= 100"),
    ("300ms", "status = 'COMPLETED' AND duration_ms <= 300"),
    ("1s", "status = 'COMPLETED' AND duration_ms <= 1000"),
    ("first", "status = 'COMPLETED' AND attempt = 1"),
)
SLOS_EACH: Final = len(_GOOD)


class End(msgspec.Struct, frozen=True):
    """How an attempt has ended."""

    is_completed: bool
    duration_us: int

    @property
    def verdicts(self) -> tuple[bool, ...]:
        """By the service's SLOs, in the order of their names here."""
        ms = self.duration_us / 1_000
        return tuple(self.is_completed and holds for holds in (True, ms <= 100, ms <= 300, ms <= 1_000, True))


def service(number: int) -> str:
    """The name of a service."""
    return f"service-{number:04}"


def slo_ids(number: int) -> list[str]:
    """The SLOs of a service."""
    return [f"{service(number)}.{name}" for name, _ in _GOOD]


def definitions(services: int = SERVICES) -> Iterator[Definition]:
    """All SLOs."""
    for number in range(services):
        for slo_id, (_, good) in zip(slo_ids(number), _GOOD, strict=True):
            indicator = Indicator(Source.TICKETS, good, f"service = '{service(number)}'")
            about = (slo_id, slo_id, SloType.CUSTOM, service(number), 0.99, indicator)
            yield Definition(*about)


def some_end(chance: random.Random) -> End:
    """Most attempts go well, and take some time."""
    return End(chance.random() >= BAD_SHARE, int(chance.expovariate(1 / _MEAN_MS) * 1_000))


class Totals:
    """How many events were good and valid by each SLO."""

    def __init__(self, services: int = SERVICES) -> None:
        self.valid = [0] * services
        self.good = [[0] * SLOS_EACH for _ in range(services)]

    def add(self, number: int, verdicts: tuple[bool, ...]) -> None:
        """One event of a service."""
        self.valid[number] += 1
        good = self.good[number]
        for at, verdict in enumerate(verdicts):
            good[at] += verdict

    def by_slo(self) -> dict[str, tuple[int, int]]:
        """Good and valid events of each SLO that has any."""
        return {
            slo_id: (good, self.valid[number])
            for number in range(len(self.valid))
            if self.valid[number]
            for slo_id, good in zip(slo_ids(number), self.good[number], strict=True)
        }


def plain(definition: Definition) -> dict[str, Any]:
    """As a message takes it."""
    found: dict[str, Any] = msgspec.to_builtins(definition)
    return found
