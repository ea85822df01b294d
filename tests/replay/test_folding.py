"""A history that cannot be folded is a finding, and no end of the verification."""

from pathlib import Path

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.events import EventStream
from neural_hive.replay.checks.state import Folding
from neural_hive.replay.report import Check, Findings
from neural_hive.streams.kernel.reading import MessageReader
from tests.rerun.worlds import hive_world, recording_of

TICKETS = "execution.tickets"


def _is_beginning(record: Record) -> bool:
    return ("event_type", b"TicketCreated") in record.headers


def test_an_aggregate_whose_beginning_was_taken_away(tmp_path: Path) -> None:
    world = hive_world(1)
    recording = recording_of(world)
    system = world.systems["orchestrator"]
    partition, held = next((n, h) for n, h in enumerate(recording.topics[TICKETS]) if h.records)
    held.records[:] = [record for record in held.records if not _is_beginning(record)]
    findings = Findings()
    folding = Folding(
        system, partition, {}, [], {}, lambda *_: None, MessageReader(), findings, tmp_path / "made"
    )
    bounds = {topic: recording.ranges(topic)[partition] for topic in system.event_topics}
    for event in EventStream(recording, Findings()).events(partition, bounds):
        folding.take(event)
    folding.finish()
    folding.close()
    assert not folding.is_whole
    (found,) = findings.report([], 0.0).findings
    assert (found.check, found.expected) == (Check.STATE, "events that fold")
    assert "begins with TicketCreated" in found.found
