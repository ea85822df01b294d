"""The state of the whole system in few numbers, looked up once for all who look, every two seconds or more seldom."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from neural_hive.api.health import Health
from neural_hive.api.services import Services
from neural_hive.page.freeze_reads import freezes
from neural_hive.projections.positions import read_standing
from neural_hive.schemas.extensions import all_topics
from neural_hive.schemas.topics import Kind
from neural_hive.slo_views import FreezeInfo
from neural_hive.work import Work, work

KEPT_S: Final = 2.0
REST: Final = 2.0  # in the time that a look takes: so much it leaves the servers alone
RATES_KEPT: Final = 150  # five minutes
FREEZES_SHOWN: Final = 10


class Rate(msgspec.Struct, frozen=True):
    """What was appended in the moment before."""

    at_s: float  # of the day's clock, s since 1970
    events: float  # events/s
    messages: float  # messages/s


class Seen(msgspec.Struct, frozen=True):
    """The system at one time. What could not be asked is empty, and `problem` says why."""

    health: Health
    work: Work = Work()
    rates: tuple[Rate, ...] = ()
    freezes: tuple[FreezeInfo, ...] = ()  # those that hold, FREEZES_SHOWN at most
    problem: str = ""


class Board:
    """Looks, and keeps what it saw; what takes long leaves the servers alone for longer.

    Blocking; may be used from many threads.
    """

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services, self._clock = services, clock
        self._lock = threading.Lock()
        self._seen: tuple[float, Seen] | None = None  # until when it is kept, and what was seen
        self._rates: deque[Rate] = deque(maxlen=RATES_KEPT)
        self._ends: tuple[float, dict[bool, int]] | None = None  # when, and records of events and of messages

    def look(self) -> Seen:
        """How it is now, or was a moment ago. Raises nothing: who is away is told of."""
        with self._lock:
            began = self._clock()
            if self._seen is None or began > self._seen[0]:
                found = self._look()
                ended = self._clock()
                self._seen = ended + max(KEPT_S, (ended - began) * REST), found
            return self._seen[1]

    def _look(self) -> Seen:
        health = self._services.health.health()
        if away := [f"{name}: {why}" for name, why in health.needs.items() if why != "ok"]:
            return Seen(health, rates=tuple(self._rates), problem="; ".join(away))
        try:
            self._note_rates()
            tables = self._services.tables
            return Seen(health, work(tables), tuple(self._rates), freezes(tables, most=FREEZES_SHOWN))
        except Exception as error:  # it is shown, and asked again in a moment
            return Seen(health, rates=tuple(self._rates), problem=str(error))

    def _note_rates(self) -> None:
        now, counts = self._clock(), self._records()
        if self._ends is not None and now > self._ends[0]:
            took_s = now - self._ends[0]
            moved = {
                kind: max(count - self._ends[1].get(kind, 0), 0) / took_s for kind, count in counts.items()
            }
            self._rates.append(Rate(time.time(), moved.get(True, 0.0), moved.get(False, 0.0)))
        self._ends = now, counts

    def _records(self) -> dict[bool, int]:
        """How many records the archived topics have, markers of transactions too; True: those of events."""
        places = list(read_standing(self._services.tables).positions)
        counts: dict[bool, int] = {}
        for (topic, _), end in self._services.log.ends(places).items():
            known = all_topics().get(topic)
            is_event = known is not None and known.kind is Kind.EVENT
            counts[is_event] = counts.get(is_event, 0) + end
        return counts
