"""The toy system: two inputs, two aggregates, a timer; dead letters can be written again.

`python -m tests.toy.system BOOTSTRAP DATA [SUFFIX [VERSION]]`

The suffix keeps the topics of one test apart from those of another; the version stands for a change of the code.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Rejected
from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.connectors.foreign_schemas import ForeignSchemas
from neural_hive.projections.archive_reader import ArchiveReader
from neural_hive.schemas.codec import decode
from neural_hive.streams import runner
from neural_hive.streams.kernel.broadcast import View
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.transport import BatchConsumer
from neural_hive.streams.runner import run_system
from tests.toy import counter, tally

PUT_BACK = "put_back"  # the header that says which message had a record written again
HANGS = 777  # the amount whose handler does not come back while the file TOY_HANGS is there


class AddToCounter(msgspec.Struct, frozen=True):
    """Message: raise a counter."""

    counter_id: str
    amount: int


class StartCountdown(msgspec.Struct, frozen=True):
    """Message: close a counter after a while."""

    counter_id: str
    delay_ms: int


class PutBack(msgspec.Struct, frozen=True):
    """Message: write a dead letter's record again, and raise a counter."""

    counter_id: str
    letter_partition: int
    letter_offset: int
    to_partition: int


def build(suffix: str = "", counted: Aggregate[Any] = counter.COUNTER) -> System:
    """The system, with its topics and group under a suffix; `counted` is the counter, or what it became later."""
    counters = msgspec.structs.replace(counted, topic=f"toy.counters{suffix}")
    tallies = msgspec.structs.replace(tally.TALLY, topic=f"toy.tallies{suffix}")
    blocks = View(
        f"toy.blocks{suffix}", frozenset[str](), lambda blocked, record: blocked | {record.key().decode()}
    )
    toy = System(
        f"toy{suffix}",
        (counters, tallies),
        (__name__,),
        repartition=f"toy.repartition{suffix}",
        views={"blocks": blocks},
        looks_into=(DEAD_LETTERS,),
    )

    @toy.on(f"toy.commands{suffix}", AddToCounter, route="counter_id")
    @toy.on(f"toy.results{suffix}", AddToCounter, route="counter_id")
    def add(unit: Any, message: AddToCounter) -> None:
        if message.counter_id in unit.view("blocks").value:
            raise Rejected(f"{message.counter_id} is blocked")
        while message.amount == HANGS and _is_there("TOY_HANGS"):
            time.sleep(0.05)
        events = unit.execute(counters, message.counter_id, counter.Raise(message.amount))
        if events and message.amount % 2 == 0:
            unit.execute(tallies, message.counter_id, tally.Note(message.amount))

    @toy.on(f"toy.commands{suffix}", StartCountdown, route="counter_id")
    def start(unit: Any, message: StartCountdown) -> None:
        unit.execute(counters, message.counter_id, counter.Start(unit.now + message.delay_ms * 1000))

    @toy.on(f"toy.commands{suffix}", PutBack, route="counter_id")
    def put_back(unit: Any, message: PutBack) -> None:
        found = unit.record(DEAD_LETTERS, message.letter_partition, message.letter_offset)
        if found is None:
            raise Rejected("there is no such letter")
        letter = decode(found.value, "message").payload
        headers = [(header["name"], header["value"]) for header in letter["headers"]]
        headers.append((PUT_BACK, unit.message_id.encode()))
        to = letter["source_partition"] if message.to_partition < 0 else message.to_partition
        if unit.execute(counters, message.counter_id, counter.Raise(1)):
            unit.put_back(letter["source_topic"], to, letter["key"], letter["value"], headers)

    @toy.on_timer(counters, "countdown")
    def countdown_over(unit: Any, counter_id: str) -> None:
        unit.execute(counters, counter_id, counter.Close())

    return toy


def _is_there(variable: str) -> bool:
    return variable in os.environ and Path(os.environ[variable]).exists()


def _grow_deaf() -> None:
    """While the file TOY_DEAF is there nothing is fetched any more, and nobody says so."""
    getmany = BatchConsumer._getmany

    async def deaf(self: Any, active_partitions: Any, timeout: float) -> Any:
        if _is_there("TOY_DEAF"):
            await asyncio.sleep(timeout)
            return {}
        return await getmany(self, active_partitions, timeout)

    BatchConsumer._getmany = deaf  # type: ignore[method-assign]


def _archive() -> ArchiveReader:
    """The archive that the variable TOY_ARCHIVE names: host, port, user, password and database, as JSON."""
    return ArchiveReader(ClickHouse(**json.loads(os.environ["TOY_ARCHIVE"]), retry_s=1))


def main(
    bootstrap: str,
    data: str,
    suffix: str = "",
    version: str = "",
    counted: Aggregate[Any] = counter.COUNTER,
) -> None:
    """Runs the system; `version` moves it to another `state_version`, as a change of its code would."""
    if "TOY_DEAF" in os.environ:
        _grow_deaf()
    if "TOY_STALL_S" in os.environ:
        runner.STALL_S = float(os.environ["TOY_STALL_S"])
    run_system(
        build(suffix, counted),
        {"bootstrap.servers": bootstrap},
        Path(data),
        extra_modules=("tests.toy.another_version",) if version else (),
        fetch_schema=ForeignSchemas(registry).schema
        if (registry := os.environ.get("TOY_REGISTRY"))
        else None,
        open_archive=_archive if "TOY_ARCHIVE" in os.environ else None,
        schemas_until=tuple(json.loads(os.environ.get("TOY_SCHEMAS_UNTIL", "[]"))),
        session_s=int(os.environ.get("TOY_SESSION_S", "10")),
        stuck_s=float(os.environ.get("TOY_STUCK_S", "90")),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
