"""Who is signed in: browsers by an id in a signed cookie, and the API key or token that each showed, in memory only."""

import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from neural_hive.api.auth import Authenticator, Identity, Unauthenticated

IDLE_MAX_S: Final = 8 * 3_600.0
SESSIONS_MAX: Final = 1_000


class Session(msgspec.Struct):
    """A browser that somebody has signed in with."""

    bearer: str  # asked again at each page: a key that was removed lets nobody in any more
    used_at: float


class Sessions:
    """May be used from many threads. When the process ends, everybody is signed out."""

    def __init__(self, authenticator: Authenticator, clock: Callable[[], float] = time.monotonic) -> None:
        self._authenticator, self._clock = authenticator, clock
        self._lock = threading.Lock()
        self._by_browser: dict[str, Session] = {}

    async def sign_in(self, browser: str, bearer: str) -> Identity:
        """Lets a browser in. Raises Unauthenticated, Unverifiable."""
        identity = await self._known(bearer)
        with self._lock:
            self._forget_idle()
            if len(self._by_browser) >= SESSIONS_MAX:
                oldest = min(self._by_browser, key=lambda known: self._by_browser[known].used_at)
                del self._by_browser[oldest]
            self._by_browser[browser] = Session(bearer, self._clock())
        return identity

    def sign_out(self, browser: str) -> None:
        """Forgets a browser."""
        with self._lock:
            self._by_browser.pop(browser, None)

    async def identity(self, browser: str) -> Identity:
        """Who uses a browser. Raises Unauthenticated, Unverifiable."""
        with self._lock:
            self._forget_idle()
            session = self._by_browser.get(browser)
            if session is None:
                raise Unauthenticated("nobody is signed in here")
            session.used_at = self._clock()
        try:
            return await self._known(session.bearer)
        except Unauthenticated:
            self.sign_out(browser)
            raise

    async def _known(self, bearer: str) -> Identity:
        identity = await self._authenticator.bearer(bearer.strip())
        if identity.grant is not None:
            raise Unauthenticated("the token of a ticket opens that ticket only, and no page")
        return identity

    def _forget_idle(self) -> None:
        now = self._clock()
        idle = [browser for browser, s in self._by_browser.items() if now - s.used_at > IDLE_MAX_S]
        for browser in idle:
            del self._by_browser[browser]
