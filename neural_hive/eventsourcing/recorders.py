"""The library's recorders on an application's log."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Tracking,
    TrackingRecorder,
)

from neural_hive.eventsourcing.journal import Journal
from neural_hive.eventsourcing.subscription import LogSubscription

_NO_STOP: Final = 2**63 - 1


class LogAggregateRecorder(AggregateRecorder):
    """Events of aggregates; or their snapshots."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Records events, all or none. Raises IntegrityError, and see Journal."""
        self.journal.insert(stored_events)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Events of an originator with versions above `gt` and up to `lte`, in the order of their versions."""
        return self.journal.events(originator_id, gt, lte, desc, limit)


class LogApplicationRecorder(LogAggregateRecorder, ApplicationRecorder):
    """Events of aggregates, which are also numbered over the whole application, in the order of the log."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """The notification ids of what was recorded, all or nothing. Raises IntegrityError, and see Journal."""
        return self.journal.insert(stored_events)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """At most `limit` events from `start` to `stop`, without gaps; of these topics, or of any."""
        first = 1 if start is None else start + (not inclusive_of_start)
        last = _NO_STOP if stop is None else stop
        return self.journal.notifications(first, last, limit, topics)

    def max_notification_id(self) -> int | None:
        """The id of the last event; None: there is none."""
        return self.journal.last_notification() or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> LogSubscription:
        """All events with ids above `gt`, then new ones as they are recorded. Stop it, or use it in a `with`."""
        return LogSubscription(self, gt, topics)


class LogTrackingRecorder(TrackingRecorder):
    """How far upstream applications were processed."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def insert_tracking(self, tracking: Tracking) -> None:
        """Records it. Raises IntegrityError: it was processed as far, or farther; and see Journal."""
        self.journal.insert((), tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        """The last notification of an application that was processed; None: none was."""
        return self.journal.tracked(application_name)


class LogProcessRecorder(LogTrackingRecorder, LogApplicationRecorder, ProcessRecorder):
    """Events, together with how far the upstream application was processed that they follow from."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """As LogApplicationRecorder's; with `tracking`, in the same transaction."""
        tracking: Tracking | None = kwargs.get("tracking")
        return self.journal.insert(stored_events, tracking)
