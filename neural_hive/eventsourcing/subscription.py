"""New events as they are recorded, by whichever process."""

import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from eventsourcing.persistence import Notification, Subscription

if TYPE_CHECKING:
    from neural_hive.eventsourcing.recorders import LogApplicationRecorder

PAGE: Final = 500
POLL_S: Final = (
    0.1  # how often it is looked whether another process has written; of this one it hears at once
)


class LogSubscription(Subscription["LogApplicationRecorder"]):
    """An iterator that blocks at the end of the log until there is more, or until it is stopped."""

    def __init__(
        self, recorder: "LogApplicationRecorder", gt: int | None = None, topics: Sequence[str] = ()
    ) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._page = deque[Notification]()
        self._has_news = threading.Event()
        recorder.journal.listen(self._has_news)

    def stop(self) -> None:
        """Ends the iteration; may be called from any thread."""
        super().stop()
        self._recorder.journal.unlisten(self._has_news)
        self._has_news.set()

    def __next__(self) -> Notification:
        """The next event. Raises StopIteration: it was stopped; what the recorder raises."""
        while not self._has_been_stopped:
            if self._page:
                return self._page.popleft()
            self._has_news.clear()
            self._pull()
            if not self._page:
                self._has_news.wait(POLL_S)
        raise StopIteration

    def _pull(self) -> None:
        last = self._recorder.max_notification_id() or 0
        self._page.extend(
            self._recorder.select_notifications(
                self._last_notification_id, PAGE, last, self._topics, inclusive_of_start=False
            )
        )
        # What has none of the topics is passed too, or each look would begin at the last one that has.
        seen = self._page[-1].id if len(self._page) == PAGE else last
        self._last_notification_id = max(self._last_notification_id or 0, seen)
