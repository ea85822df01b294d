"""The step over the events of one partition: the log is looked at, and folded where there is a state to compare, in one
reading.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from neural_hive.connectors.heaps import give_back
from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.answers import Answers, Marks
from neural_hive.replay.checks.chain import PartitionCheck, locate_repeated
from neural_hive.replay.checks.events import EventStream
from neural_hive.replay.checks.state import Folding, kept_states
from neural_hive.replay.fingerprints import keyed
from neural_hive.replay.reader import NotedSource, Range
from neural_hive.replay.report import Findings
from neural_hive.replay.steps.step import scratch
from neural_hive.replay.steps.writer import Found, Writer, records

_GIVE_BACK_EVERY: Final = 20_000  # events


def check_events(writer: Writer, name: str, partition: int, findings: Findings, noted: NotedSource) -> Found:
    """Chains, versions, sequence, ids and places of one partition; its state; and which inputs have caused events."""
    causes = writer.folder / f"{name}.causes"
    causes.unlink(missing_ok=True)  # of a try that was broken off
    answers, without_effect = Answers(causes, keyed(writer.key)), Marks()
    with ExitStack() as stack:
        folder = stack.enter_context(scratch(writer.folder))
        folding = _folding(writer, partition, answers, without_effect, findings, folder)
        if folding is not None:
            stack.enter_context(closing(folding))
        # Looked up behind the states: the log comes first, so it reaches at least as far as they do.
        bounds = _bounds(writer, partition, is_now=folding is not None)
        check = stack.enter_context(
            closing(
                PartitionCheck(
                    writer.target.name, partition, writer.scope.partitions, answers, findings, folder
                )
            )
        )
        check.whole = writer.target.whole
        for number, event in enumerate(EventStream(noted, findings).events(partition, bounds), 1):
            check.take(event)
            if folding is not None:
                folding.take(event)
            if number % _GIVE_BACK_EVERY == 0:
                give_back()
        repeated = check.finish()
        if folding is not None:
            folding.finish()
    if repeated:
        again = EventStream(writer.source, Findings()).events(partition, bounds)
        locate_repeated(again, repeated, findings)
    answers.causes.save()
    return {
        "answered": answers.places.packed(),
        "causes": causes.name,
        "without_effect": without_effect.packed(),
        "is_folded": folding is not None,
        "is_fold_whole": folding is not None and folding.is_whole,
    }


def _bounds(writer: Writer, partition: int, is_now: bool) -> dict[str, Range]:
    bounds = {topic: writer.scope.events[topic][partition] for topic in writer.target.event_topics}
    if is_now:
        for topic, (first, end) in bounds.items():
            bounds[topic] = (first, max(end, writer.source.ranges(topic)[partition][1]))
    return bounds


def _folding(
    writer: Writer,
    partition: int,
    answers: Answers,
    without_effect: Marks,
    findings: Findings,
    folder: Path,
) -> Folding | None:
    """None: there is no state to compare."""
    if writer.system is None or writer.states is None or not writer.target.whole:
        return None
    found = Findings()
    kept = list(kept_states(writer.states, writer.system, partition, found))
    if not kept:
        return None  # the step over the state will say what is wrong with them
    findings.take(found.report([], 0))

    def judge(record: Record, is_without: bool) -> None:
        if is_without:
            without_effect.mark(record.topic, record.partition, record.offset)

    def is_answered(record: Record) -> bool:
        return answers.places.has(record.topic, record.partition, record.offset)

    return Folding(
        writer.system,
        partition,
        writer.partitions_of,
        kept,
        _inputs(writer, partition),
        judge,
        writer.read,
        findings,
        folder / "folded",
        is_answered,
    )


def _inputs(writer: Writer, partition: int) -> dict[str, Iterator[Record]]:
    """The inputs of the partition that were read before: those that leave nothing behind are judged in passing."""
    committed, routed = writer.scope.committed or {}, writer.routed()
    found: dict[str, Iterator[Record]] = {}
    for topic in writer.target.input_topics:
        until = committed.get((topic, partition), -1)
        if topic not in routed and until > 0:
            first, end = writer.source.ranges(topic)[partition]
            found[topic] = records(writer.source, topic, partition, (first, min(until, end)))
    return found
