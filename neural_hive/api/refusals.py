"""Refused calls in the log: what is alike is counted for a moment, and told as one message."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec
import structlog

from neural_hive.aggregates.refusals import STATUSES
from neural_hive.api.refused import LoggedRefusals, RefusedCall
from neural_hive.connectors.subject_keys import SubjectKeysUnusable
from neural_hive.following import Unreachable
from neural_hive.schemas.codec import BadRecord
from neural_hive.sdk.breaker import CircuitOpen
from neural_hive.streams.operations.messages import NoteRefusedCall

NAME: Final = "api"  # what the API is called in the log
EVERY_S: Final = 1.0
KINDS_MAX: Final = 500  # that wait at once; more are counted together, without names
ADDRESSES_MAX: Final = 10_000  # that are ever named: each has a key that it could be erased with
_STOP_TIMEOUT_S: Final = 5.0
Publish = Callable[[NoteRefusedCall], object]
Kind = tuple[str, str, str, str, int, str]  # caller, address, method, path, status, reason
log = structlog.get_logger()


class Counted(msgspec.Struct):
    """Calls that are alike."""

    count: int
    first_at: int  # µs
    last_at: int


class PublishedRefusals:
    """Told at once to the log of the process, and within a second to Kafka. May be used from many threads.

    While Kafka is away, calls are counted on; nothing is forgotten but, above KINDS_MAX, who it was.
    """

    def __init__(self, publish: Publish, every_s: float = EVERY_S) -> None:
        self._publish, self._every_s = publish, every_s
        self._logged = LoggedRefusals()
        self._lock = threading.Lock()
        self._waiting: dict[Kind, Counted] = {}
        self._addresses: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)
        self._thread.start()

    def tell(self, call: RefusedCall) -> None:
        """See RefusedCalls. What was not refused, but could not be judged, is not told to Kafka."""
        self._logged.tell(call)
        if call.status in STATUSES:
            with self._lock:
                self._count(self._kind(call), _micros(call.at), 1)

    def close(self) -> None:
        """Tells what still waits, if Kafka answers."""
        self._stopping.set()
        self._thread.join(_STOP_TIMEOUT_S)

    def flush(self) -> None:
        """Tells what waits."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for kind, counted in waiting.items():
            try:
                self._publish(_note(kind, counted))
            except (Unreachable, CircuitOpen, SubjectKeysUnusable) as error:
                log.warning("refused_calls_wait", why=str(error))
                with self._lock:
                    self._count(kind, counted.first_at, counted.count, counted.last_at)
            except BadRecord as error:  # its texts cannot be written: that there was a call can
                log.warning("refused_call_unnamed", why=str(error))
                with self._lock:
                    self._count(_unnamed(kind), counted.first_at, counted.count, counted.last_at)

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            self.flush()
        self.flush()

    def _kind(self, call: RefusedCall) -> Kind:
        address = call.address
        if address not in self._addresses:
            if len(self._addresses) < ADDRESSES_MAX:
                self._addresses.add(address)
            else:
                address = ""
        return call.identity, address, call.method, call.route, call.status, call.reason

    def _count(self, kind: Kind, first_at: int, count: int, last_at: int = 0) -> None:
        if kind not in self._waiting and len(self._waiting) >= KINDS_MAX:
            kind = _unnamed(kind)
        known = self._waiting.setdefault(kind, Counted(0, first_at, first_at))
        known.count += count
        known.first_at = min(known.first_at, first_at)
        known.last_at = max(known.last_at, last_at, first_at)


def _unnamed(kind: Kind) -> Kind:
    return "", "", kind[2], kind[3], kind[4], "many different calls"


def _note(kind: Kind, counted: Counted) -> NoteRefusedCall:
    caller, address, method, path, status, reason = kind
    at = counted.first_at, counted.last_at
    return NoteRefusedCall(NAME, caller, address, method, path, "", status, reason, counted.count, *at)


def _micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)
