"""The tree of causes: back to what began it, across systems and timers, and down to all that followed."""

import io
import itertools
from collections import Counter
from functools import cache, partial

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from neural_hive.connectors.kafka_log import UnreadableLog
from neural_hive.replay.causes.drawn import drawn, duration_text, mermaid
from neural_hive.replay.causes.gathered import NoSuchEvent
from neural_hive.replay.causes.node import Kind, Node
from neural_hive.replay.causes.tree import Branch, Causes, causes, descendants
from neural_hive.replay.history import happening_of
from neural_hive.replay.moment import BadMoment
from neural_hive.replay.reader import JoinedSource, NothingArchived
from neural_hive.replay.scan import records
from neural_hive.schemas.codec import decode
from tests.replay.memory_source import MemorySource, Simulated, simulated

SEEDS = (1, 2, 5, 9)


@cache
def of(seed: int, text: str, depth: int = 10_000, size: int = 10_000) -> Causes:
    world = simulated(seed)
    return causes(world.source, world.topics, text, partial(decode, kind="message"), depth, size)


def an_event(world: Simulated) -> st.SearchStrategy[str]:
    return st.sampled_from(world.events).map(lambda r: f"{r.topic}:{r.partition}:{r.offset}")


def all_of(branch: Branch) -> list[Branch]:
    found = [branch]
    for one in found:
        found += one.caused
    return found


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_each_is_caused_by_the_one_before_it_and_the_first_by_somebody(
    seed: int, data: st.DataObject
) -> None:
    found = of(seed, data.draw(an_event(simulated(seed))))
    chain = [branch.node for branch in found.before] + [found.tree.node]
    for cause, caused in itertools.pairwise(chain):
        assert caused.causation_id == cause.id
    assert chain[0].kind is not Kind.EVENT
    assert found.cut == ""
    if chain[0].kind is Kind.MESSAGE:
        assert found.beginning == f"it began with this {chain[0].type}, sent by test"
    else:
        assert "timer" in found.beginning


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_what_a_cause_has_caused_holds_what_it_is_the_cause_of(seed: int, data: st.DataObject) -> None:
    found = of(seed, data.draw(an_event(simulated(seed))))
    for branch in found.before[-4:]:
        if branch.node.kind is not Kind.TIMER:
            below = {b.node.id for b in all_of(of(seed, branch.node.id).tree)}
            assert found.asked in below


def test_every_event_of_one_message_is_found_below_it() -> None:
    world = simulated(2)
    events = [h for r in world.events if (h := happening_of(r)) is not None]
    most, count = Counter(h.envelope.causation_id for h in events if h.envelope.source_topic).most_common(1)[
        0
    ]
    tree = of(2, most).tree
    direct = [b.node.id for b in tree.caused if b.node.kind is Kind.EVENT]
    assert sorted(direct) == sorted(h.envelope.event_id for h in events if h.envelope.causation_id == most)
    assert len(direct) == count


def test_timers_are_named_whosever_they_were() -> None:
    named: Counter[str] = Counter()
    for seed in SEEDS:
        for record in simulated(seed).events:
            happening = happening_of(record)
            if happening is not None and not happening.envelope.source_topic:
                timer = of(seed, happening.place).before[-1].node
                assert timer.kind is Kind.TIMER
                named[timer.type] += 1
    assert "" not in named
    assert {"retry", "wait", "timeout"} <= named.keys()


def test_an_event_is_found_by_its_id_and_by_its_place() -> None:
    happening = happening_of(simulated(1).events[5])
    assert happening is not None
    assert of(1, happening.place) == of(1, happening.envelope.event_id)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("nonsense", NoSuchEvent, "no event or message has the id 'nonsense'"),
        ("", NoSuchEvent, "no event"),
        ("no.topic:0:1", NoSuchEvent, "none of the topics"),
        ("execution.tickets:0:99999", BadMoment, "holds offsets"),
    ],
)
def test_what_is_not_there_is_said(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        of(1, text)


def test_depth_and_size_are_bounded_and_said() -> None:
    world = simulated(2)
    plan = max(
        (of(2, f"plans.consensus:{r.partition}:{r.offset}") for r in plans(world)),
        key=lambda found: len(all_of(found.tree)),
    )
    whole = len(all_of(plan.tree))
    assert whole > 30
    shallow = of(2, plan.asked, depth=1)
    assert all(not branch.caused for branch in shallow.tree.caused)
    assert len(all_of(shallow.tree)) - 1 == len(plan.tree.caused)
    few = of(2, plan.asked, size=10)
    assert len(all_of(few.tree)) == 11
    for cut in (shallow, few):
        missing = whole - len(all_of(cut.tree))
        assert cut.cut.startswith(f"{missing} more that it caused are not shown")
        assert sum(branch.left_out for branch in all_of(cut.tree)) > 0


def plans(world: Simulated) -> list[object]:
    return [
        record
        for (topic, _), found in world.source.records.items()
        if topic == "plans.consensus"
        for record in found
        if _is_message(record.value or b"")
    ]


def _is_message(value: bytes) -> bool:
    try:
        decode(value, "message")
    except Exception:
        return False
    return True


def test_a_tree_is_drawn_with_places_and_times_between() -> None:
    found = of(2, happening_of(simulated(2).events[40]).place)  # type: ignore[union-attr]
    out = io.StringIO()
    Console(width=2_000, file=out).print(drawn(found))
    text = out.getvalue()
    for branch in (*found.before, *all_of(found.tree)):
        assert branch.node.place in text
    assert text.count("◀ asked for") == 1
    assert "+" in text


def test_mermaid_has_a_box_for_each_and_no_letter_that_means_something() -> None:
    told = {"error": 'says "no" <b>[x]</b> `end`;', "attempt": 1}
    root = Node(Kind.MESSAGE, "m", "ReportResult", "a:0:1", 1, 1, "", "", "t", "w", "", "w", 0, "agent")
    event = Node(
        Kind.EVENT,
        "e",
        "TicketFailed",
        "b:0:1",
        2_001,
        2_001,
        "m",
        "a:0:1",
        "t",
        "w",
        "ticket",
        "t-1",
        2,
        "p",
        told,
    )
    tree, left_out = descendants({"m": root, "e": event}, root, 5, 5)
    text = mermaid(Causes("m", [], tree, "", ""))
    assert left_out == 0
    lines = text.splitlines()
    assert lines[0] == "flowchart TD"
    assert lines[1] == '    n0(["ReportResult<br>a:0:1"])'
    assert '"' not in lines[2][lines[2].index('"') + 1 : lines[2].rindex('"')]
    assert "#34;no#34;" in lines[2]
    assert lines[3] == "    n0 -- 2 ms --> n1"
    assert lines[4] == "    style n0 stroke-width:4px"


def test_a_circle_ends() -> None:
    one = Node(Kind.MESSAGE, "a", "X", "t:0:1", 1, 1, "b", "", "t", "w", "", "w", 0, "p")
    other = msgspec.structs.replace(one, id="b", place="t:0:2", causation_id="a")
    tree, left_out = descendants({"a": one, "b": other}, one, 50, 50)
    assert [b.node.id for b in all_of(tree)] == ["a", "b"]
    assert left_out == 0


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0 ms"),
        (12_400, "12 ms"),
        (1_500_000, "1.5 s"),
        (-2_000, "-2 ms"),
        (61_000_000, "1 min 1 s"),
        (93_600_000_000, "1 d 2 h"),
    ],
)
def test_durations_in_the_unit_that_suits_them(us: int, text: str) -> None:
    assert duration_text(us) == text


class _Expired(MemorySource):
    """A log whose plans have expired, and are in no archive."""

    def ranges(self, topic: str) -> dict[int, tuple[int, int]]:
        if topic == "plans.consensus":
            raise UnreadableLog("what is between them is in neither")
        return super().ranges(topic)


def test_where_inputs_have_expired_the_chain_ends_and_says_so() -> None:
    world = simulated(1)
    started = next(
        r for r in world.events if (h := happening_of(r)) and h.envelope.event_type == "WorkflowStarted"
    )
    source = _Expired(world.source.records, world.source._ends)
    place = f"{started.topic}:{started.partition}:{started.offset}"
    found = causes(source, world.topics, place, partial(decode, kind="message"))
    assert found.before == []
    assert found.beginning.startswith("what caused it, message-")
    assert "(read at plans.consensus:" in found.beginning
    assert found.cut == "plans.consensus cannot be read: what is between them is in neither"


class _Empty(MemorySource):
    """An archive that no projector has come to."""

    def ranges(self, topic: str) -> dict[int, tuple[int, int]]:
        raise NothingArchived(f"the archive has nothing of {topic}")


class _Later(MemorySource):
    """A log whose first records have expired."""

    def ranges(self, topic: str) -> dict[int, tuple[int, int]]:
        return {p: (min(3, end), end) for p, (_, end) in super().ranges(topic).items()}


def test_what_has_expired_and_was_never_archived_is_no_empty_topic() -> None:
    world = simulated(1)
    parts = (world.source.records, world.source._ends)
    with pytest.raises(UnreadableLog, match="in neither"):
        list(records(JoinedSource(_Empty(*parts), _Later(*parts)), ["execution.tickets"]))
    assert list(records(_Empty(*parts), ["execution.tickets"])) == []
