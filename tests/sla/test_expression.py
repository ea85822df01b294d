"""Expressions: what they mean, what is none, and that ClickHouse understands them as we do."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.sli_expression import EVERYTHING, BadExpression, FieldType, parse
from neural_hive.aggregates.sli_source import FIELDS, Source
from neural_hive.projections.http_store import HttpStore
from tests.fixtures_clickhouse import ClickHouseServer

TICKETS = FIELDS[Source.TICKETS]
FIELD_TYPES = {"status": FieldType.TEXT, "ms": FieldType.NUMBER, "late": FieldType.BOOL}


@pytest.mark.parametrize(
    ("text", "facts", "holds"),
    [
        ("", {}, True),
        ("status = 'COMPLETED'", {"status": "COMPLETED"}, True),
        ("status <> 'COMPLETED'", {"status": "FAILED"}, True),
        ("'COMPLETED' = status", {"status": "COMPLETED"}, True),
        ("5 <= ms", {"ms": 4.9}, False),
        ("ms > -1.5", {"ms": -1}, True),
        ("ms BETWEEN 1 AND 3", {"ms": 3}, True),
        ("ms NOT BETWEEN 1 AND 3", {"ms": 3}, False),
        ("status IN ('a', 'b')", {"status": "b"}, True),
        ("status NOT IN ('a', 'b')", {"status": "b"}, False),
        ("status LIKE 'a%'", {"status": "a\nb"}, True),
        ("status LIKE 'a_c'", {"status": "abc"}, True),
        ("status LIKE 'a\\\\_c'", {"status": "abc"}, False),
        ("status LIKE '100%'", {"status": "100."}, True),
        ("status LIKE '[a]'", {"status": "a"}, False),
        ("late", {"late": True}, True),
        ("NOT late", {"late": True}, False),
        ("late = false", {"late": False}, True),
        ("ms IS NULL", {}, True),
        ("ms IS NOT NULL", {}, False),
        ("ms < 5", {}, False),
        ("NOT ms < 5", {}, False),  # unknown
        ("NOT (ms < 5)", {"ms": 7}, True),
        ("ms < 5 OR status = 'a'", {"status": "a"}, True),
        ("ms < 5 AND status = 'a'", {"status": "a"}, False),
        ("NOT (ms < 5 AND status = 'a')", {"status": "b"}, True),
        ("status = 'it''s'", {"status": "it's"}, True),
        ("true", {}, True),
    ],
)
def test_what_it_means(text: str, facts: dict[str, Any], holds: bool) -> None:
    assert parse(text, FIELD_TYPES).holds(facts) is holds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("status", "compare it"),
        ("nothing = 1", "there is no field"),
        ("events.status = 'a'", "there is no field"),
        ("status = 5", "no constant of that kind"),
        ("ms = '5'", "no constant of that kind"),
        ("ms = status", "no constant of that kind"),
        ("ms = 1e400", "no number"),
        ("ms = 12345678901234567890", "no number"),
        ("late > true", "no order"),
        ("ms LIKE '5'", "LIKE takes a text"),
        ("status LIKE '%a%b%c%d%'", "4 %"),
        ("status IN (SELECT 1)", "constants in brackets"),
        ("status IN (SELECT status FROM tickets)", "constants in brackets"),
        ("(SELECT 1)", "cannot stand here"),
        ("sleep(3) = 0", "no field"),
        ("upper(status) = 'A'", "no field"),
        ("status = 'a'; DROP TABLE events", "cannot stand here"),
        ("status = 'a", "no expression"),
        ("status ==", "no expression"),
        ("CASE WHEN late THEN 1 ELSE 0 END", "cannot stand here"),
        ("ms + 1 > 2", "no field"),
        ("status IS true", "takes NULL"),
        ("x" * 3_000, "3,000 characters"),
        (" OR ".join(["late"] * 400), "no expression|more than"),
        ("(" * 900 + "late" + ")" * 900, "no expression|more than"),
        ("{a:String} = status", "no field|no expression|no constant"),
    ],
)
def test_what_is_none_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(BadExpression, match=why):
        parse(text, FIELD_TYPES)


def test_it_knows_which_fields_it_asks_for() -> None:
    found = parse("status = 'COMPLETED' AND NOT duration_ms > 5", TICKETS)
    assert found.fields == {"status", "duration_ms"}
    assert parse("  ", TICKETS) is EVERYTHING


texts = st.sampled_from(["", "a", "A", "abc", "a%c", "it's", "\\", "ä", "a\nb", "_", "100.", "%"])
numbers = st.one_of(st.integers(-10, 10), st.sampled_from([0.5, -2.25, 1e-3, 3.0]))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


leaves = st.one_of(
    st.builds(
        lambda sign, text: f"status {sign} {_quoted(text)}", st.sampled_from(["=", "!=", "<", ">="]), texts
    ),
    st.builds(lambda sign, n: f"ms {sign} {n}", st.sampled_from(["=", "<>", "<=", ">"]), numbers),
    st.builds(
        lambda few: f"status IN ({', '.join(map(_quoted, few))})", st.lists(texts, min_size=1, max_size=3)
    ),
    st.builds(
        lambda few: f"ms NOT IN ({', '.join(map(str, few))})", st.lists(numbers, min_size=1, max_size=3)
    ),
    st.builds(
        lambda text: f"status LIKE {_quoted(text)}", st.sampled_from(["a%", "%c", "_", "%", "a\\%c", "A__"])
    ),
    st.builds(lambda a, b: f"ms BETWEEN {a} AND {b}", numbers, numbers),
    st.sampled_from(["late", "late = false", "ms IS NULL", "status IS NOT NULL"]),
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda a, b: f"({a} AND {b})", inner, inner),
        st.builds(lambda a, b: f"({a} OR {b})", inner, inner),
        st.builds(lambda a: f"NOT ({a})", inner),
    ),
    max_leaves=6,
)
facts = st.fixed_dictionaries(
    {
        "status": st.one_of(st.none(), texts),
        "ms": st.one_of(st.none(), numbers),
        "late": st.one_of(st.none(), st.booleans()),
    }
)


def _column(value: Any, kind: str, name: str) -> str:
    if value is None:
        text = "NULL"
    elif isinstance(value, str):
        text = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    else:
        text = str(value).lower()
    return f"CAST({text}, 'Nullable({kind})') AS `{name}`"


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(expressions, facts), min_size=40, max_size=40))
def test_clickhouse_understands_the_same(
    clickhouse: ClickHouseServer, cases: list[tuple[str, dict[str, Any]]]
) -> None:
    store = HttpStore(clickhouse.host, clickhouse.port, clickhouse.user, clickhouse.password, "default")
    selects = []
    for text, given_facts in cases:
        columns = (
            _column(given_facts["status"], "String", "status"),
            _column(given_facts["ms"], "Float64", "ms"),
            _column(given_facts["late"], "Bool", "late"),
        )
        condition = parse(text, FIELD_TYPES).sql
        selects.append(f"SELECT ifNull(({condition}) = 1, false) AS holds FROM (SELECT {', '.join(columns)})")
    rows = store.rows(" UNION ALL ".join(f"SELECT {n} AS n, holds FROM ({s})" for n, s in enumerate(selects)))
    found = {int(n): bool(holds) for n, holds in rows}
    for number, (text, given_facts) in enumerate(cases):
        assert found[number] is parse(text, FIELD_TYPES).holds(given_facts), (text, given_facts)
