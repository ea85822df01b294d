"""Partitions that may not go on, since their log is not what it should be: they are closed, and the others go on.

Each is told of again and again, loudly. And it is looked at again: a person may accept the log as it is, a topic may be
restored, a foreign transaction ends.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
from confluent_kafka import KafkaException

from neural_hive.connectors.kafka_log import StalledLog, UnreadableLog, end_offsets
from neural_hive.streams.kernel.acceptance import left_at
from neural_hive.streams.kernel.partition import Partition
from neural_hive.streams.kernel.recovery import BrokenLog, NewerLog

CONTAINED: Final = (BrokenLog, NewerLog, StalledLog)
"""What stops one partition. Anything else that is wrong ends the process."""

LOOK_FIRST_S: Final = 5.0
LOOK_MAX_S: Final = 60.0  # each look may read the log from its beginning
WORD_EVERY_S: Final = 1.0  # how often it is asked whether somebody has accepted the log
log = structlog.get_logger()


class Stopped:
    """One of them: why it is stopped, and when it is to be looked at again."""

    def __init__(self, partition: Partition, error: Exception) -> None:
        self.partition = partition
        self._since = time.monotonic()
        self._wait_s = LOOK_FIRST_S
        self._note(error)

    def _note(self, error: Exception) -> None:
        self._error, self.why = error, f"{type(error).__name__}: {error}"
        self._word_at = left_at(self.partition.place.folder)
        self._look_at = time.monotonic() + self._wait_s
        log.critical(
            "partition stopped, and the others go on",
            partition=self.partition.name,
            why=self.why,
            for_s=round(time.monotonic() - self._since),
            next_look_s=round(self._wait_s),
        )

    def note_again(self, error: Exception | None = None) -> None:
        """A look has found that it still may not go on."""
        self._wait_s = min(2 * self._wait_s, LOOK_MAX_S)
        self._note(error or self._error)

    def is_due(self) -> bool:
        """Whether it is time to look: at once when somebody has accepted the log."""
        return time.monotonic() >= self._look_at or left_at(self.partition.place.folder) != self._word_at

    def is_stalled(self, config: Mapping[str, Any]) -> bool:
        """Whether the transaction that held the log's end is still open: a look would find nothing else."""
        error = self._error
        if not isinstance(error, StalledLog):
            return False
        place = (error.topic, error.partition)
        try:
            return end_offsets(config, [place], "read_committed")[place] <= error.at
        except (KafkaException, UnreadableLog):
            return True


class StoppedPartitions:
    """Those of one processor, in its event loop.

    `go_on` opens one again, and forgets it here: it raises what stops it still. `tell` is told of every change.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        pool: ThreadPoolExecutor,
        go_on: Callable[[Partition], Awaitable[None]],
        tell: Callable[[Mapping[int, str]], None],
    ) -> None:
        self._config, self._pool, self._go_on, self._tell = config, pool, go_on, tell
        self._found: dict[int, Stopped] = {}
        self._tending: dict[int, asyncio.Task[None]] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._found))

    def __contains__(self, number: object) -> bool:
        return number in self._found

    def reasons(self) -> dict[int, str]:
        """Why each is stopped."""
        return {number: stopped.why for number, stopped in list(self._found.items())}

    def partitions(self) -> list[Partition]:
        """Those that are stopped."""
        return [stopped.partition for stopped in list(self._found.values())]

    def add(self, partition: Partition, error: Exception) -> None:
        """Closes a partition that may not go on, and looks after it."""
        number = partition.number
        stopped = self._found[number] = Stopped(partition, error)
        partition.messages.stopped.set(1)
        self._tell(self.reasons())
        self._tending[number] = asyncio.get_running_loop().create_task(self._tend(number, stopped))

    def forget(self, number: int) -> None:
        """It goes on, or is another worker's now."""
        self._found.pop(number).partition.messages.stopped.set(0)
        self._tell(self.reasons())

    async def settled(self, number: int) -> None:
        """Returns when nothing is done any more about a partition that was forgotten."""
        if number in self._tending:
            await asyncio.wait([self._tending[number]])

    async def _tend(self, number: int, stopped: Stopped) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, stopped.partition.close)
        while self._found.get(number) is stopped:
            await asyncio.sleep(WORD_EVERY_S)
            if not stopped.is_due():
                continue
            if await loop.run_in_executor(self._pool, stopped.is_stalled, self._config):
                stopped.note_again()
                continue
            try:
                await self._go_on(stopped.partition)
            except Exception as error:
                stopped.note_again(error)
                self._tell(self.reasons())
