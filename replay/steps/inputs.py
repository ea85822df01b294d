"""The step over a writer's inputs: every one of them is answered, by what was read of events and dead letters."""

from array import array

from neural_hive.replay.checks.answers import AllAnswers, Marks
from neural_hive.replay.checks.committed import Offsets, Ranges, note_unread
from neural_hive.replay.checks.inputs import InputCheck
from neural_hive.replay.checks.silent import SilentInputs
from neural_hive.replay.fingerprints import keyed
from neural_hive.replay.reader import NotedSource
from neural_hive.replay.report import Check, Findings
from neural_hive.replay.steps.step import Done
from neural_hive.replay.steps.writer import Found, Writer, records


def check_inputs(
    writer: Writer, name: str, before: list[Done], findings: Findings, noted: NotedSource
) -> Found:
    """Reads the inputs, copies before what they are copies of. `before`: the steps over events and dead letters.

    Gives the silent ones that nobody has judged yet: nothing was folded in their partition.
    """
    committed = writer.scope.committed
    if committed is None or writer.committed is None:
        findings.skip(Check.ANSWERED, "it needs all event topics, and Kafka for the input offsets")
        return {}
    answers = AllAnswers(
        (done.answered for done in before),
        (writer.folder / done.causes for done in before if done.causes),
        keyed(writer.key),
    )
    for file in writer.folder.glob(f"{name}.silent-*"):
        file.unlink()  # of a try that was broken off
    silent = SilentInputs(writer.folder, f"{name}.silent-all")
    has_events = any(done.report.counts.get("events") for done in before)
    check = InputCheck(answers, findings, writer.read, committed, silent)
    _read(writer, check, committed, has_events, findings, noted)
    routed = writer.routed()
    _lost_by_routers(writer, silent, routed, findings)
    unjudged = _judged(writer, name, silent, routed, before, findings)
    _causes(answers.places, writer.committed(), findings)
    return {"silent": unjudged}


def _read(
    writer: Writer,
    check: InputCheck,
    committed: Offsets,
    has_events: bool,
    findings: Findings,
    noted: NotedSource,
) -> None:
    target = writer.target
    topics = sorted(target.input_topics, key=lambda topic: topic != target.repartition)
    ranges: Ranges = {topic: writer.source.ranges(topic) for topic in topics}
    routed = writer.routed()
    readers = {topic: target.reader(topic, topic in routed) for topic in topics}
    note_unread(target.name, readers, ranges, committed, has_events, findings)
    for topic in topics:
        for partition, (first, end) in ranges[topic].items():
            until = committed.get((topic, partition), -1)
            if until > end:
                place, found = f"{topic}:{partition}", f"the log ends at {end}"
                expected = f"records up to committed offset {until}"
                findings.add(Check.ANSWERED, place, "", expected, found)
            last = end if topic == target.repartition else min(until, end)
            check.take(records(noted, topic, partition, (first, last)), until)
    check.finish()


def _lost_by_routers(writer: Writer, silent: SilentInputs, routed: set[str], findings: Findings) -> None:
    """What a router has read must have left a copy or a dead letter, if copies are still all there."""
    lost = [place for place in silent.places() if place[0] in routed]
    if not lost:
        return
    repartition = writer.target.repartition
    copies = writer.source.ranges(repartition) if repartition else {}
    if any(first for first, _ in copies.values()):
        findings.skip(Check.ANSWERED, f"copies in {repartition} have expired")
        return
    for place in lost:
        writer.note_lost(silent.records(place, writer.source), findings)


def _judged(
    writer: Writer,
    name: str,
    silent: SilentInputs,
    routed: set[str],
    before: list[Done],
    findings: Findings,
) -> dict[str, str]:
    """Notes which of the silent inputs are lost, as they were judged; gives those that were not."""
    without_effect = Marks()
    for done in before:
        without_effect.add(done.without_effect)
    folded = {done.step.partition: done.is_fold_whole for done in before if done.is_folded}
    unjudged: dict[str, str] = {}
    lost = SilentInputs(writer.folder, f"{name}.silent-lost")
    for place in silent.places():
        if place[0] in routed:
            continue
        if place[1] not in folded:
            unjudged[f"{place[0]}:{place[1]}"] = silent.file(place).name
        elif folded[place[1]]:
            _sort_out(place, silent, without_effect, lost, findings)
    for place in lost.places():
        writer.note_lost(lost.records(place, writer.source), findings)
    return unjudged


def _sort_out(
    place: tuple[str, int],
    silent: SilentInputs,
    without_effect: Marks,
    lost: SilentInputs,
    findings: Findings,
) -> None:
    for offset in silent.offsets(place):
        if without_effect.has(*place, offset):
            findings.counts["without_effect"] += 1
        else:
            lost.add(place, array("q", (offset,)))


def _causes(places: Marks, committed: Offsets, findings: Findings) -> None:
    for (topic, partition), until in committed.items():
        findings.examined[Check.CAUSED] += 1
        beyond = places.beyond(topic, partition, until)
        if beyond is not None:
            expected = f"causes below committed offset {max(until, 0)}"
            findings.add(Check.CAUSED, f"{topic}:{partition}:{beyond}", "", expected, "an event of it")
