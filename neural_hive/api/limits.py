"""How often somebody may ask: a token bucket for each, in a table that does not grow."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

BUCKETS_MAX: Final = 10_000


class _Bucket(msgspec.Struct):
    tokens: float
    at_s: float


class RateLimit:
    """`burst` requests at once, and `per_s` more each second; may be used from many threads.

    Of more than `buckets_max` callers the one that has been silent longest is forgotten: it then begins with a whole
    burst again.
    """

    def __init__(
        self,
        per_s: float,
        burst: int,
        buckets_max: int = BUCKETS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s, self._burst, self._buckets_max, self._clock = per_s, burst, buckets_max, clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, who: str, cost: float = 1.0) -> float:
        """Takes one request of somebody: 0, or after how many seconds they may ask again."""
        with self._lock:
            bucket = self._refilled(who)
            if bucket.tokens >= cost:
                bucket.tokens -= cost
                return 0.0
            return (cost - bucket.tokens) / self._per_s

    def _refilled(self, who: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = _Bucket(self._burst, now)
            if len(self._buckets) > self._buckets_max:
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(who)
        bucket.tokens = min(self._burst, bucket.tokens + max(now - bucket.at_s, 0.0) * self._per_s)
        bucket.at_s = now
        return bucket

    def __len__(self) -> int:
        return len(self._buckets)
