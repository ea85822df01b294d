"""How long a ticket waits before it is tried again."""

from typing import Final

BASE_MS: Final = 1_000
CAP_MS: Final = 5 * 60_000  # who waits longer than this waits for a person


def backoff_ms(attempt: int) -> int:
    """How long to wait after attempt n (from 1) went wrong: min(1 s · 2^(n-1), 5 min), in ms.

    No jitter: the wait follows from the log alone, and tickets are spread by when their attempts ended.
    """
    return min(BASE_MS << min(max(attempt, 1) - 1, 20), CAP_MS)
