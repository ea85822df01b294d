"""One insert that waits for the transaction that takes it."""

from collections.abc import Sequence

from eventsourcing.persistence import StoredEvent, Tracking


class Request:
    """What one thread wants to be inserted, and what became of it."""

    __slots__ = ("_error", "_notification_ids", "events", "tracking")

    def __init__(self, events: Sequence[StoredEvent], tracking: Tracking | None) -> None:
        self.events, self.tracking = events, tracking
        self._notification_ids: list[int] | None = None
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self.events) + (self.tracking is not None)

    @property
    def is_done(self) -> bool:
        """Whether it is known what became of it."""
        return self._notification_ids is not None or self._error is not None

    def succeed(self, notification_ids: list[int]) -> None:
        """It is recorded."""
        self._notification_ids = notification_ids

    def fail(self, error: BaseException) -> None:
        """It is not; or it is not known whether."""
        self._error = error

    def answer(self) -> list[int]:
        """The notification ids of its events. Raises what went wrong."""
        if self._error is not None:
            raise self._error
        assert self._notification_ids is not None
        return self._notification_ids
