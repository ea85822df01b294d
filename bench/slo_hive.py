"""Neural Hive with ten thousand SLOs: a process that counts events, and one that keeps the budgets; both measured."""

import sys
import threading
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any, Final

import msgspec
import psutil

from bench.orchestration import Slow, broker, process
from bench.slo_load import Written
from bench.slo_stream import definitions, plain
from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.child import Child, tail
from neural_hive.connectors.kafka_log import begin_offsets, end_offsets, read_committed
from neural_hive.connectors.publisher import Publisher
from neural_hive.process import processor_name
from neural_hive.schemas.codec import decode
from neural_hive.settings import Settings

SYSTEMS: Final = ("sla", "sli")
BUDGETS: Final = "sla.budgets"
_APART_MS: Final = 2_000  # sums of one transaction are appended closer together, those of two are not
_LOOK_EVERY_S: Final = 1.0
_GIVE_UP_S: Final = 240.0


class Usage(msgspec.Struct, frozen=True):
    """What processes took while something was measured."""

    cores: dict[str, float]  # processor time / time, by process
    memory_mb: dict[str, tuple[float, ...]]  # resident, every second


class Outcome(msgspec.Struct, frozen=True):
    """What came of events that were offered."""

    offered: float  # samples/s
    counted: float  # samples/s, see _Counted.rate
    counted_after_s: tuple[float, ...]  # append of a sum - append of the oldest event in it
    looked_after_s: tuple[float, ...]  # append of a look at a budget - the end of its last minute
    sums: int
    usage: Usage


class Hive:
    """A running system."""

    def __init__(self, settings: Settings, processes: dict[str, int]) -> None:
        self.settings, self._processes = settings, processes
        self._kafka = settings.kafka_config()

    def define(self) -> float:
        """All SLOs; how long it took until they were in the log, s."""
        publisher, began, count = Publisher(self._kafka, "bench"), time.monotonic(), 0
        for definition in definitions():
            slo_id, payload = definition.slo_id, {"definition": plain(definition)}
            header = publisher.header("DefineSlo", derived_id("bench", slo_id), slo_id)
            told = {"slo_id": slo_id, "revision": 0, "requested_by": "", "reason": "bench", **payload}
            publisher.publish("sla.commands", header, told, _check)
            publisher.poll()
            count += 1
        publisher.flush(60)
        self._wait("sla.definitions", lambda: self._events("sla.definitions") >= count)
        return time.monotonic() - began

    def begin(self) -> None:
        """The tickets' beginnings, of which some facts are noted."""
        count = self.load("begin", 0).events
        self._wait("sla.sources", lambda: self._events("sla.sources") >= count)

    def load(self, rate: float | str, seconds: float) -> Written:
        """Writes events, in a process of its own."""
        out = self.settings.data / "written.json"
        line = [sys.executable, "-m", "bench.slo_load", self.settings.kafka_bootstrap]
        line += [str(self.settings.partitions), str(rate), str(seconds), str(out)]
        child = Child(line, self.settings.data / "load.log")
        try:
            while child.alive:
                time.sleep(0.1)
            if child.exit_code:
                raise Slow(f"the load ended with {child.exit_code}\n{tail(self.settings.data / 'load.log')}")
        finally:
            child.kill()
        return msgspec.json.decode(out.read_bytes(), type=Written)

    def measured(self, samples_per_s: float, events_per_s: float, seconds: float) -> Outcome:
        """Offers events for a while, and waits until all are counted. Raises Slow: they were not, or not rightly."""
        begins = self._ends(BUDGETS)
        with watched(self._processes) as usage:
            written = self.load(events_per_s, seconds)
        due = {slo_id: tuple(total) for slo_id, total in written.totals.items()}
        found = _Counted(written)
        all_ = sum(valid for _, valid in due.values())
        self._wait("sums", lambda: self._count(begins, found) >= all_)
        self._wait("looks", lambda: self._count(begins, found) and len(found.looked_s) >= len(due))
        if found.totals != due:
            wrong = [s for s, t in due.items() if found.totals.get(s) != t]
            raise RuntimeError(f"{len(wrong)} SLOs were counted wrong, such as {wrong[:3]}")
        return Outcome(
            samples_per_s,
            found.rate(written.ended_at * 1e3),
            tuple(found.after_s),
            tuple(found.looked_s),
            found.sums,
            usage[0],
        )

    def _count(self, at: dict[int, int], found: "_Counted") -> int:
        """Takes what is new; how many samples were counted so far."""
        for partition, end in self._ends(BUDGETS).items():
            for record in read_committed(self._kafka, BUDGETS, partition, at[partition], end):
                found.add(record)
                at[partition] = record.offset + 1
        return found.valid

    def _wait(self, what: str, is_there: Any) -> None:
        until = time.monotonic() + _GIVE_UP_S
        while not is_there():
            if time.monotonic() > until:
                raise Slow(f"not all of {what} is there after {_GIVE_UP_S:g} s")
            time.sleep(_LOOK_EVERY_S)

    def _ends(self, topic: str) -> dict[int, int]:
        places = [(topic, number) for number in range(self.settings.partitions)]
        return {
            number: end for (_, number), end in end_offsets(self._kafka, places, "read_committed").items()
        }

    def _events(self, topic: str) -> int:
        """About how many: transactions' markers have offsets too."""
        count = 0
        for number, end in self._ends(topic).items():
            begin = begin_offsets(self._kafka, [(topic, number)])[topic, number]
            count += sum(1 for _ in read_committed(self._kafka, topic, number, begin, end))
        return count


class _Counted:
    """What the budgets' topic says."""

    def __init__(self, written: Written) -> None:
        self._placed: dict[int, list[tuple[int, int]]] = {}
        for partition, offset, at_ms in sorted(written.places):
            self._placed.setdefault(partition, []).append((offset, at_ms))
        self.totals: dict[str, tuple[int, int]] = {}
        self.valid = self.sums = 0
        # By source partition: valid events by the append time of their sum, ms.
        self._by_time: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self.after_s: list[float] = []
        self.looked_s: list[float] = []

    def add(self, record: Any) -> None:
        """One event."""
        decoded = decode(record.value, "event")
        payload, at_ms = decoded.payload, record.timestamp_ms
        match decoded.schema.name:
            case "SliCounted":
                good, valid = self.totals.get(payload["slo_id"], (0, 0))
                partition, first = _place(payload["source"])
                for one in payload["counts"]:
                    good, valid = good + one["good"], valid + one["valid"]
                    self._by_time[partition][at_ms] += one["valid"]
                    self.valid += one["valid"]
                self.totals[payload["slo_id"]] = good, valid
                self.sums += 1
                self.after_s.append((at_ms - self._appended_ms(partition, first)) / 1e3)
            case "BudgetEvaluated":
                self.looked_s.append(at_ms / 1e3 - payload["upto"] / 1e6)
            case _:
                pass

    def rate(self, until_ms: float) -> float:
        """Samples a second that were counted while events came: of each partition between the ends of transactions."""
        return sum(_rate(by_time, until_ms) for by_time in self._by_time.values())

    def _appended_ms(self, partition: int, offset: int) -> int:
        """When an event was appended, about."""
        placed = self._placed[partition]
        return placed[max(bisect_right(placed, (offset, 1 << 62)) - 1, 0)][1]


def _place(source: str) -> tuple[int, int]:
    """Partition, and offset of the oldest event in a sum."""
    _, partition, offsets = source.split(":")
    return int(partition), int(offsets.partition("-")[0])


def _rate(by_time: Mapping[int, int], until_ms: float) -> float:
    times = sorted(by_time)
    ends = [
        at for at, following in pairwise([*times, 1 << 62]) if following - at > _APART_MS and at <= until_ms
    ]
    if len(ends) < 2:
        raise RuntimeError("fewer than two transactions while events came: offer them for longer")
    first, last = ends[0], ends[-1]
    return sum(by_time[at] for at in times if first < at <= last) / (last - first) * 1e3


@contextmanager
def watched(processes: dict[str, int]) -> Iterator[list[Usage]]:
    """What processes take meanwhile; it is in the list in the end."""
    found: list[Usage] = []
    memory: dict[str, list[float]] = {name: [] for name in processes}
    stopping = threading.Event()

    def look() -> None:
        while not stopping.wait(1.0):
            for name, pid in processes.items():
                memory[name].append(psutil.Process(pid).memory_info().rss / 1e6)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    before, began = {name: cpu_s(pid) for name, pid in processes.items()}, time.monotonic()
    try:
        yield found
    finally:
        took_s = time.monotonic() - began
        cores = {name: (cpu_s(pid) - before[name]) / took_s for name, pid in processes.items()}
        stopping.set()
        thread.join()
        found.append(Usage(cores, {name: tuple(values) for name, values in memory.items()}))


def cpu_s(pid: int) -> float:
    """What a process has used of the processor so far, s."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


@contextmanager
def running() -> Iterator[Hive]:
    """Broker, `sla` and `sli`, with all SLOs and tickets."""
    with ExitStack() as stack:
        settings = stack.enter_context(broker())
        processes = {"broker": _java()}
        for system in SYSTEMS:
            child = stack.enter_context(process(settings, processor_name((system,)), "processor", system))
            processes[system] = child.pid
        yield Hive(settings, processes)


def _java() -> int:
    """The broker."""
    children = psutil.Process().children(recursive=True)
    return next(child.pid for child in children if "java" in child.name())


def _check(problem: str) -> None:
    if problem:
        raise RuntimeError(problem)
