"""Places in a list, as texts: a page begins behind the place at which the one before has ended."""

import base64
import binascii
from typing import Final

from neural_hive.sdk.views import BadCursor

_AT_MAX: Final = 253_402_300_800_000_000  # µs: the year 10000


def cursor_of(key: str, at: int) -> str:
    """The text that stands for a place in the order: time (µs since 1970 UTC) and key."""
    return base64.urlsafe_b64encode(f"{at} {key}".encode()).decode().rstrip("=")


def place_of(text: str) -> tuple[int, str]:
    """Time (µs) and key of a cursor. Raises BadCursor."""
    try:
        padded = text + "=" * (-len(text) % 4)
        at, found, key = (
            base64.b64decode(padded.encode("ascii"), b"-_", validate=True).decode().partition(" ")
        )
        if not found or not at.isascii() or not at.isdecimal() or int(at) > _AT_MAX:
            raise ValueError(at)
        return int(at), key
    except (ValueError, binascii.Error):
        raise BadCursor(f"{text[:80]!r} is no place in a list: take `next` of the page before") from None
