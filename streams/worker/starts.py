"""How an attempt begins: it is noted here, said to Kafka, and begins once Kafka has the word of it.

The orchestrator gives an attempt to somebody else when its log has no start of it by `start_by` and a grace. So
none begins here whose start is not in the log by `start_by`: not while the network is away, nor where this machine's
clock is wrong, since Kafka tells when it has appended the start, and `start_by` follows from its clock too.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from neural_hive.connectors.process_executor import Lease, Report
from neural_hive.connectors.publisher import Place
from neural_hive.streams.work_ledger import Dispatch, Work
from neural_hive.streams.worker.begun import Begun
from neural_hive.streams.worker.orders import failed
from neural_hive.streams.worker.reports import Reports

_LOOK_EVERY_S: Final = 0.05  # whether it was cancelled meanwhile


class Starts:
    """Begins the attempts of one worker; may be used from many threads.

    `note` hears of each start whether it was delivered: "", or the reason why not.
    """

    def __init__(self, begun: Begun, reports: Reports, note: Callable[[str], None]) -> None:
        self._begun, self._reports, self._note = begun, reports, note

    def begin(self, work: Work, dispatch: Dispatch, lease: Lease) -> Report | None:
        """Says that an attempt begins, and waits until that is in the log; the report if it must not begin."""
        begun_at = dispatch.begun_at or time.time_ns() // 1_000
        try:
            if not dispatch.is_announced:
                self._begun.note(work, begun_at, begins=False)
                work.begun = True
                places = self._say(work, lease.begin_by_s)
                if not places or 0 < dispatch.start_by < places[0].appended_at:
                    return _unbegun(work)
            work.begun = True
            self._begun.note(work, begun_at, begins=True)
        except OSError as error:
            return failed(f"the worker cannot note that the attempt begins: {error}")
        return None

    def _say(self, work: Work, until_s: float) -> list[Place]:
        """Where the start stands in the log; nothing if Kafka has not said so in time, or nobody waits any more."""
        places: list[Place] = []
        answered = threading.Event()

        def delivered(undelivered: str) -> None:
            self._note(undelivered)
            answered.set()

        self._reports.start(work, delivered, places.append)
        while not answered.wait(_LOOK_EVERY_S) and not work.cancellation.asked:
            if time.monotonic() >= until_s:
                return []
        return places


def _unbegun(work: Work) -> Report:
    now = time.time_ns() // 1_000
    if work.cancellation.asked:
        return Report("CANCELLED", now, now, error="the ticket was cancelled before it began")
    return Report("TIMED_OUT", now, now, error="Kafka had no word of its start in time, so it was not begun")
