"""Keeps a log readable while a broker is away: the client repeats itself twenty times a second."""

import logging
import time
from typing import Final

SILENCE_S: Final = 10.0


class Sparse(logging.Filter):
    """Lets one line of each kind through in SILENCE_S; the next one says how many were left out.

    The kind is the line's first word: FAIL, ERROR, GETPID … as librdkafka has it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._quiet_until: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a line that is left out."""
        text = record.getMessage()
        kind, now = text.partition(" ")[0], time.monotonic()
        if now < self._quiet_until.get(kind, 0.0):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        self._quiet_until[kind] = now + SILENCE_S
        if left_out := self._left_out.pop(kind, 0):
            record.msg, record.args = f"{text} (and {left_out} more like it before)", ()
        return True
