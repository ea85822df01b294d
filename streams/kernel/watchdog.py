"""Notices that something stands still that must not. It lives in a thread: an event loop may be what stands still."""

import threading
from collections.abc import Callable, Hashable, Mapping

import structlog

LOOKS = 3  # how often the same is seen before it counts as stuck
log = structlog.get_logger()

Marks = Callable[[], Mapping[str, Hashable | None]]


class Watchdog:
    """Looks at marks again and again; what shows the same mark for `stuck_s` is told to `bite`.

    A mark is anything that changes with each piece of work. What has none (None, or no entry) need not move now.
    Looks are counted, not seconds: to a process that was stopped, or got no processor time, no time has passed.
    """

    def __init__(self, name: str, stuck_s: float, marks: Marks, bite: Callable[[str], None]) -> None:
        self._every_s = stuck_s / LOOKS
        self._marks, self._bite = marks, bite
        self._seen: dict[str, tuple[Hashable, int]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-watchdog", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Looks no more. Does not wait for a look that is under way."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self.look()
            except Exception as error:  # whoever watches must go on watching
                log.error("a look at what stands still failed", exc_info=error)

    def look(self) -> None:
        """Compares the marks with those of the look before."""
        seen = {}
        for what, mark in self._marks().items():
            if mark is not None:
                before, times = self._seen.get(what, (None, 0))
                seen[what] = (mark, times + 1 if mark == before else 0)
        self._seen = seen
        for what, (_, times) in seen.items():
            if times >= LOOKS and not self._ended.is_set():
                self._bite(what)
                return
