"""What is folded of a partition, and the one pass over it."""

from collections.abc import Iterable

import msgspec
import pytest

from neural_hive.aggregates.aggregate import Event
from neural_hive.aggregates.budget import hour_of
from neural_hive.aggregates.metric_window import TOPIC as WINDOWS
from neural_hive.aggregates.sla_window import HOUR
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Indicator
from neural_hive.aggregates.ticket import TicketCancelled, TicketFailed, TicketRetryScheduled
from neural_hive.aggregates.workflow import PlanRejected, WorkflowCompleted
from neural_hive.connectors.record import Record
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.kernel.system import Happened
from neural_hive.streams.sla.history import CountHistory
from neural_hive.streams.sli.facts import Sample
from neural_hive.streams.sli.system import TOPICS
from neural_hive.streams.sli_history.facts import SOURCES
from neural_hive.streams.sli_history.one_pass import Job, new_fold, read_over
from neural_hive.streams.sli_history.subjects import Subjects
from tests.sla.sli_unit import WORKFLOW
from tests.sla_history.world import World


def happened(event: Event, subject_id: str = "t") -> Happened:
    head = Envelope(
        type(event).__name__, "ticket", 1, "l", "p", "e", subject_id, 1, 5_000_000, "w", "c", "0" * 32, "0" * 16, 1,
        "", 0, 0, b"",
    )  # fmt: skip
    return Happened(None, "w", head, msgspec.to_builtins(event))


def created(subjects: Subjects, *ticket_ids: str) -> None:
    world = World()
    for ticket_id in ticket_ids:
        world.created(ticket_id)
    for event, ticket_id in world.events:
        subjects.take(happened(event, ticket_id))
    world.close()


def failed(subjects: Subjects, ticket_id: str) -> Iterable[Sample]:
    return subjects.take(happened(TicketFailed("t", WORKFLOW, 1, "a", 1, 2, 1, {}, (), "no"), ticket_id))


def test_what_has_ended_for_good_is_let_go() -> None:
    subjects = Subjects()
    created(subjects, "a", "b")
    assert subjects.kept == 2
    assert list(subjects.take(happened(TicketCancelled("t", WORKFLOW, "no", 1), "a"))) == []
    assert subjects.kept == 1
    (sample,) = failed(subjects, "b")
    assert (sample.facts["service"], subjects.kept) == ("cart", 1), "somebody may try it again"


def test_what_is_tried_again_is_open_again() -> None:
    subjects = Subjects(resting_max=1)
    created(subjects, "a", "b", "c")
    failed(subjects, "a")
    subjects.take(happened(TicketRetryScheduled("t", WORKFLOW, 1, 1, "no"), "a"))
    failed(subjects, "b")
    failed(subjects, "c")
    assert subjects.forgotten == 1
    (again,), (forgotten,) = failed(subjects, "a"), failed(subjects, "b")
    assert "service" in again.facts and "service" not in forgotten.facts


def test_there_is_a_limit_to_what_is_open() -> None:
    subjects = Subjects(open_max=2)
    created(subjects, "a", "b", "c")
    assert (subjects.kept, subjects.forgotten) == (2, 1)


def test_workflows_and_plans_that_were_refused() -> None:
    subjects = Subjects()
    (refused,) = subjects.take(happened(PlanRejected("d", "p", ("a cycle",), "")))
    (done,) = subjects.take(happened(WorkflowCompleted(WORKFLOW, 1, 999)))
    assert (refused.facts["status"], refused.facts["plan_id"]) == ("REJECTED", "p")
    assert (done.facts["status"], done.facts["duration_ms"]) == ("COMPLETED", 999)


def test_each_source_that_is_counted_as_it_comes_has_a_history() -> None:
    assert {source.topic: name for name, source in SOURCES.items()} == {**TOPICS, WINDOWS: Source.TELEMETRY}


def passed_over(records: list[Record], *jobs: Job, minutes_from: int = 0) -> tuple[list[CountHistory], int]:
    """What is told of jobs, and how many records were read."""
    told: list[CountHistory] = []
    seen: list[int] = []
    folded = new_fold(SOURCES[Source.TICKETS], 0, 1, 0, MessageReader())
    read = lambda first, end: records[first:end]  # noqa: E731
    read_over(folded, list(jobs), read, told.append, seen.append, minutes_from)
    return told, sum(seen)


def job(slo_id: str, at: int, until: int) -> Job:
    return Job(slo_id, 1, Indicator(Source.TICKETS, "status = 'COMPLETED'"), at, until, True)


def valid(told: CountHistory) -> int:
    return sum(c.valid for part in told.parts for c in part.counts)


def world_of(tickets: int) -> World:
    world = World()
    for number in range(tickets):
        world.created(f"t{number}")
        world.ended(f"t{number}", minutes_ago=number)
    return world


def test_one_pass_counts_for_many() -> None:
    world = world_of(50)
    jobs = [job(f"s{number}", number, 100 - number) for number in range(20)]
    told, read = passed_over(world.records, *jobs)
    assert read == 100
    expected = {f"s{n}": sum(1 for at in range(1, 100, 2) if n <= at < 100 - n) for n in range(20)}
    assert {each.slo_id: valid(each) for each in told} == expected
    assert all(each.is_whole for each in told)
    world.close()


def test_what_is_old_is_told_by_hours() -> None:
    world = world_of(300)
    (told,), _ = passed_over(world.records, job("s", 0, 600), minutes_from=hour_of(world.sla.now) - HOUR)
    counts = told.parts[0].counts
    assert {c.at % HOUR == 0 for c in counts if c.at < hour_of(world.sla.now) - HOUR} == {True}
    assert (valid(told), len(counts)) == (300, 78)
    world.close()


def test_what_nobody_can_decode_is_passed_over() -> None:
    world = world_of(3)
    bad = world.records[1]
    world.records[1] = msgspec.structs.replace(bad, value=bad.value[:-3] if bad.value else b"")
    world.records[3] = msgspec.structs.replace(world.records[3], value=b"nonsense")
    (told,), read = passed_over(world.records, job("s", 0, 6))
    assert (valid(told), read) == (1, 6)
    world.close()


def test_what_a_newer_build_wrote_is_not_passed_over() -> None:
    world = world_of(3)
    world.records[3] = msgspec.structs.replace(world.records[3], value=b"\x00\x7f\xff\xff\xff" + b"x" * 99)
    with pytest.raises(UnknownSchema, match="newer"):
        passed_over(world.records, job("s", 0, 6))
    world.close()


def test_the_world_writes_what_the_system_would() -> None:
    """Or the tests with it would show nothing."""
    world = world_of(1)
    names = [decode(record.value or b"", "event").schema.name for record in world.records]
    assert names == ["TicketCreated", "TicketCompleted"]
    world.close()
