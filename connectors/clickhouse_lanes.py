"""Who may use the engine how much at once: lanes bound statements, sessions keep connections.

A lane is for one role: slow readers fill theirs and leave the sink's free.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TypeVar

from neural_hive.connectors.clickhouse_connection import Connection, EngineError

T = TypeVar("T")


class Lane:
    """At most `slots` statements at once and `queue` waiting; one more is refused (code 202).

    A lane `within` another one is for one of its users: both bounds hold, and they share their threads.
    """

    def __init__(self, name: str, slots: int, queue: int, within: "Lane | None" = None) -> None:
        self.name = name
        self._slots = slots
        self._limit = slots + queue
        self._inside = 0
        self._free = asyncio.Semaphore(slots)
        self._within = within
        prefix = f"clickhouse-{name}"
        self._threads: ThreadPoolExecutor = (
            within._threads if within else ThreadPoolExecutor(slots, thread_name_prefix=prefix)
        )

    @property
    def inside(self) -> int:
        return self._inside

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        if self._inside >= self._limit:
            counts = f"{self._slots} run and {self._limit - self._slots} wait for {self.name}"
            reason = f"Too many simultaneous queries: {counts}; try again later"
            raise EngineError.own(202, "TOO_MANY_SIMULTANEOUS_QUERIES", reason)
        self._inside += 1
        try:
            async with self._free, AsyncExitStack() as stack:
                if self._within:
                    await stack.enter_async_context(self._within.slot())
                yield
        finally:
            self._inside -= 1

    async def call(self, function: Callable[[], T]) -> T:
        """Runs in a thread of the lane; even when cancelled it leaves only after the thread has ended."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, function)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise

    def close(self) -> None:
        self._threads.shutdown(wait=True)


class Lanes:
    """Lanes within one, each made when somebody asks for it; those that nobody uses make room."""

    def __init__(self, within: Lane, slots: int, queue: int, limit: int = 1000) -> None:
        self._within, self._slots, self._queue, self._limit = within, slots, queue, limit
        self._lanes: OrderedDict[str, Lane] = OrderedDict()

    def of(self, key: str) -> Lane:
        """The lane of a key."""
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= self._limit:
                self._lanes = OrderedDict((name, kept) for name, kept in self._lanes.items() if kept.inside)
            lane = self._lanes[key] = Lane(key[:64], self._slots, self._queue, self._within)
        return lane


class _Session:
    def __init__(self, connection: Connection, timeout_s: float) -> None:
        self.connection = connection
        self.timeout_s = timeout_s
        self.busy = False
        self.used_at = time.monotonic()


class Sessions:
    """Connections that keep SET, USE and temporary tables between requests of one user.

    At most `limit`; the one idle longest makes room. Idle ones end after their time-out.
    """

    def __init__(self, connect: Callable[[], Connection], limit: int = 256) -> None:
        self._connect = connect
        self._limit = limit
        self._lock = threading.Lock()
        self._sessions: OrderedDict[tuple[str, str], _Session] = OrderedDict()

    @contextmanager
    def use(
        self, user: str, session_id: str, timeout_s: float, must_exist: bool
    ) -> Iterator[tuple[Connection, bool]]:
        """The session's connection, and whether it is new."""
        with self._lock:
            self._expire()
            session = self._sessions.get((user, session_id))
            fresh = session is None
            if session is None:
                if must_exist:
                    raise EngineError.own(372, "SESSION_NOT_FOUND", f"Session {session_id} not found")
                self._make_room()
                session = self._sessions[user, session_id] = _Session(self._connect(), timeout_s)
            if session.busy:
                raise EngineError.own(
                    373, "SESSION_IS_LOCKED", f"Session {session_id} is locked by a concurrent client"
                )
            session.busy = True
            session.timeout_s = timeout_s
        try:
            yield session.connection, fresh
        finally:
            with self._lock:
                session.busy = False
                session.used_at = time.monotonic()
                self._sessions.move_to_end((user, session_id))

    def _expire(self) -> None:
        now = time.monotonic()
        for key, session in list(self._sessions.items()):
            if not session.busy and now - session.used_at > session.timeout_s:
                self._sessions.pop(key).connection.close()

    def _make_room(self) -> None:
        if len(self._sessions) < self._limit:
            return
        idle = next((key for key, session in self._sessions.items() if not session.busy), None)
        if idle is None:
            raise EngineError.own(
                202, "TOO_MANY_SIMULTANEOUS_QUERIES", f"All {self._limit} sessions are busy"
            )
        self._sessions.pop(idle).connection.close()

    def close(self) -> None:
        with self._lock:
            for session in self._sessions.values():
                session.connection.close()
            self._sessions.clear()
