"""The workflows that go on and the tickets that wait for an agent, by partition: what Flow C's gauges are read from.

It begins with the state of each partition when it opens, follows what is committed, and forgets a partition that goes
elsewhere: so it is true after a restart too.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from neural_hive.aggregates.tally import ACTIVE_WORKFLOWS, READY_QUEUE, WORKFLOW_QUEUE
from neural_hive.aggregates.ticket import TICKET
from neural_hive.aggregates.workflow import WORKFLOW, Status, Workflow
from neural_hive.streams.kernel.system import Observed, Standing

ACTIVE: Final = (Status.QUEUED, Status.RUNNING, Status.PAUSED, Status.COMPENSATING)
APPROACHING: Final = 0.1  # a deadline is near when this part of its time is left, or less
_MANY: Final = 1_000_000


class Active:
    """May be told and asked by many threads. `now_s` gives seconds since 1970."""

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._workflows: dict[int, dict[str, Workflow]] = {}
        self._waiting: dict[int, set[str]] = {}

    def opened(self, partition: int, standing: Standing) -> None:
        """Begins with what the partition holds: its queues name all that goes on and all that waits."""
        waiting = set(standing.first(READY_QUEUE, _MANY))
        named = (*standing.first(ACTIVE_WORKFLOWS, _MANY), *standing.first(WORKFLOW_QUEUE, _MANY))
        found = ((workflow_id, standing.load(WORKFLOW, workflow_id)) for workflow_id in named)
        workflows = {workflow_id: workflow for workflow_id, workflow in found if workflow is not None}
        with self._lock:
            self._workflows[partition], self._waiting[partition] = workflows, waiting

    def closed(self, partition: int) -> None:
        """Forgets a partition."""
        with self._lock:
            self._workflows.pop(partition, None)
            self._waiting.pop(partition, None)

    def follow(self, partition: int, events: Iterable[Observed]) -> None:
        """What has changed with a transaction."""
        with self._lock:
            workflows = self._workflows.setdefault(partition, {})
            waiting = self._waiting.setdefault(partition, set())
            for observed in events:
                if observed.aggregate == WORKFLOW.name:
                    if observed.after.status in ACTIVE:
                        workflows[observed.aggregate_id] = observed.after
                    else:
                        workflows.pop(observed.aggregate_id, None)
                elif observed.aggregate == TICKET.name:
                    if observed.after.is_queued:
                        waiting.add(observed.aggregate_id)
                    else:
                        waiting.discard(observed.aggregate_id)

    def count(self, status: Status) -> int:
        """Workflows that are so now."""
        return Counter(workflow.status for workflow in self._all())[status]

    def short_of_agents(self, nobody_can: bool) -> int:
        """Workflows with tickets that wait: no agent is there that could do them, or those who could are busy."""
        waiting = (found for found in self._all() if found.waiting_since)
        return sum(bool(found.stranded_since) is nobody_can for found in waiting)

    def waiting(self) -> int:
        """Tickets that are ready, and no agent is chosen for them yet."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def remaining_s(self) -> float:
        """The time to the next deadline, s; below 0 once it has passed; NaN if nothing goes on."""
        now_s = self._now_s()
        return min((found.deadline_at / 1e6 - now_s for found in self._all()), default=float("nan"))

    def approaching(self) -> int:
        """Workflows whose deadline is near, or has passed."""
        now = self._now_s() * 1e6
        return sum(
            found.deadline_at - now <= APPROACHING * (found.deadline_at - found.started_at)
            for found in self._all()
        )

    def _all(self) -> list[Workflow]:
        with self._lock:
            return [workflow for workflows in self._workflows.values() for workflow in workflows.values()]
