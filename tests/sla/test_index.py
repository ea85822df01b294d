"""Who looks up which SLOs an event concerns finds those that testing each of them would have found."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.sli_cursor import SLI_CURSOR, cursor_id_of
from neural_hive.aggregates.sli_expression import parse
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, Slo, SloType
from neural_hive.connectors.record import Record
from neural_hive.streams.kernel.sums import Sum, Sums
from neural_hive.streams.sli.cursors import open_cursors
from neural_hive.streams.sli.index import Index, Indexes, Meter
from neural_hive.streams.sli.system import build
from tests.sla.sli_unit import TICKETS
from tests.sla.test_expression import FIELD_TYPES, expressions, facts

EMPTY = parse("", FIELD_TYPES)


def meters(texts: list[str]) -> list[Meter]:
    return [Meter(f"slo-{n}", 1, EMPTY, parse(text, FIELD_TYPES)) for n, text in enumerate(texts)]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(st.just(""), expressions), max_size=25), st.lists(facts, min_size=1, max_size=10))
def test_the_index_finds_what_testing_each_finds(texts: list[str], events: list[dict[str, Any]]) -> None:
    index = Index(meters(texts))
    for event in events:
        found = sorted(meter.slo_id for meter in index.valid(event))
        assert found == sorted(meter.slo_id for meter in index.meters if meter.valid.holds(event))


@settings(deadline=None, max_examples=300)
@given(expressions, facts)
def test_what_is_true_has_what_it_demands(text: str, event: dict[str, Any]) -> None:
    found = parse(text, FIELD_TYPES)
    if found.holds(event):
        assert all(event[field] in constants for field, constants in found.demands.items())


def test_an_event_is_tested_by_the_few_that_it_concerns() -> None:
    texts = [f"status = '{n}' AND (ms = 1 OR ms = 2)" for n in range(10_000)]
    index = Index(meters(texts))
    (found,) = index.candidates({"status": "77", "ms": 1})
    assert [meter.slo_id for meter in found.meters] == ["slo-77"]
    assert list(index.candidates({"ms": 1})) == []


def test_what_it_demands() -> None:
    found = parse("'a' = status AND ms IN (1, 2) AND (late OR ms = 1) AND status <> 'b'", FIELD_TYPES)
    assert found.demands == {"status": {"a"}, "ms": {1, 2}}
    assert parse("status = 'a' OR (status = 'b' AND ms = 1)", FIELD_TYPES).demands == {"status": {"a", "b"}}
    assert parse("status = 'a' AND status = 'b'", FIELD_TYPES).demands == {"status": frozenset()}
    assert parse("NOT status = 'a'", FIELD_TYPES).demands == {}


def slo(number: int, **changes: Any) -> Slo:
    name = f"slo-{number}"
    definition = Definition(name, name, SloType.CUSTOM, "x", 0.9, Indicator(Source.TICKETS, "attempt = 1"))
    return Slo(msgspec.structs.replace(definition, **changes), 1, 1, 0)


def test_only_what_is_measured_at_a_source_is_in_its_index() -> None:
    disabled = slo(2, enabled=False)
    other = slo(3, indicator=Indicator(Source.WORKFLOWS, "is_late"))
    newer = slo(4, indicator=Indicator(Source.TICKETS, "a_field_of_tomorrow = 1"))
    known = {found.definition.slo_id: found for found in (slo(1), disabled, other, newer)}
    indexes = Indexes()
    assert [meter.slo_id for meter in indexes.of(known, Source.TICKETS).meters] == ["slo-1"]
    assert [meter.slo_id for meter in indexes.of(known, Source.WORKFLOWS).meters] == ["slo-3"]
    assert indexes.of(known, Source.TICKETS) is indexes.of(known, Source.TICKETS)
    assert [meter.slo_id for meter in indexes.of({}, Source.TICKETS).meters] == []


class Opening:
    """A partition of `sli`, as far as cursors go: transactions that may not come about, and a state that may be new."""

    now = 1

    def __init__(self) -> None:
        self.memory: dict[str, Any] = {}
        self.committed: dict[str, Any] = {}
        self.pending: dict[str, Any] = {}
        self.looks = 0

    def load(self, aggregate: Any, name: str) -> Any:
        assert aggregate is SLI_CURSOR
        self.looks += 1
        return self.pending.get(name, self.committed.get(name))

    def execute(self, aggregate: Any, name: str, command: Any) -> None:
        before = self.load(aggregate, name)
        for event in SLI_CURSOR.decide(before, command):
            self.pending[name] = SLI_CURSOR.evolve(before, event)

    def end(self, commits: bool) -> None:
        if commits:
            self.committed |= self.pending
        else:
            self.memory = {}
        self.pending = {}


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sets(st.tuples(st.integers(0, 5), st.integers(1, 2)), max_size=6),
            st.sampled_from(("goes on", "goes on", "is refused", "commits", "aborts")),
        ),
        max_size=30,
    )
)
def test_cursors_stand_where_looking_at_each_would_have_opened_them(
    steps: list[tuple[set[tuple[int, int]], str]],
) -> None:
    unit = Opening()
    expected: dict[str, int] = {}
    pending: dict[str, int] = {}
    index = Index(())
    for offset, (known, what) in enumerate(steps):
        wanted = [Meter(f"slo-{n}", measure, EMPTY, EMPTY) for n, measure in known]
        if {(m.slo_id, m.measure) for m in index.meters} != {(m.slo_id, m.measure) for m in wanted}:
            index = Index(wanted)
        before = dict(unit.pending), dict(pending)
        open_cursors(unit, Record(TICKETS, 0, offset, 0, b"", b"", ()), index)  # type: ignore[arg-type]
        for meter in index.meters:
            name = cursor_id_of(meter.slo_id, meter.measure, TICKETS, 0)
            if name not in expected:
                pending.setdefault(name, offset)
        assert {**unit.committed, **unit.pending}.keys() == {**expected, **pending}.keys()
        assert all(unit.pending[name].offset == at for name, at in pending.items())
        match what:
            case "is refused":
                unit.pending, pending = before
            case "commits" | "aborts":
                unit.end(what == "commits")
                expected = expected | pending if what == "commits" else expected
                pending = {}
            case _:
                pass


def test_ten_thousand_slos_cost_one_look_at_each_event() -> None:
    unit = Opening()
    index = Index(meters([f"status = '{n}'" for n in range(10_000)]))
    for offset in range(3):
        unit.looks = 0
        open_cursors(unit, Record(TICKETS, 0, offset, 0, b"", b"", ()), index)  # type: ignore[arg-type]
    assert unit.looks == 0


def test_what_a_refused_record_has_added_is_in_no_sum() -> None:
    kind = Sum("topic", "Type", lambda total, more: (total or 0) + more, lambda key, total: {}, str)
    sums = Sums()
    sums.put(kind, ("a", "k"), 1)
    sums.keep("first")
    sums.put(kind, ("a", "k"), 10)
    sums.put(kind, ("b", "k"), 10)
    sums.take_back()
    sums.keep("second")
    sums.put(kind, ("a", "k"), 2)
    sums.keep("third")
    sums.put(kind, ("a", "j"), 5)
    sums.keep("fourth")
    assert len(sums) == 2
    found = [(told.key, told.total, told.cause) for told in sums.told()]
    assert found == [(("a", "j"), 5, "fourth"), (("a", "k"), 3, "third")]
    assert len(sums) == 0


def test_it_lets_inputs_come_together() -> None:
    assert build().gather_s > 0
