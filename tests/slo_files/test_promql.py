"""PromQL over $window: what is written means what was read."""

import promql_parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.slo_files.promql import BadQuery, Writing, constant, counts_events, parse, total

NAMES = st.from_regex(r"[a-z][a-z_:]{0,6}[a-z]", fullmatch=True).filter(
    lambda name: (
        name not in ("and", "or", "unless", "by", "on", "sum", "bool", "inf", "nan", "offset", "atan")
    )
)
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


def quoted(value: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'


@st.composite
def selectors(draw: st.DrawFn) -> str:
    pairs = draw(st.dictionaries(NAMES.filter(lambda n: ":" not in n), VALUES, max_size=2))
    matchers = ", ".join(f"{n}{draw(st.sampled_from(['=', '!=']))}{quoted(v)}" for n, v in pairs.items())
    return f"{draw(NAMES)}{{{matchers}}}"


RATES = st.builds(
    "{}({}[{}])".format, st.sampled_from(["rate", "increase"]), selectors(), st.sampled_from(["5m", "1h30m"])
)
QUERIES = st.recursive(
    RATES,
    lambda inner: (
        st.builds("sum by (job) ({})".format, inner)
        | st.builds(
            "({} {} {})".format,
            inner,
            st.sampled_from(["+", "-", "+ on (job) group_left ()", "- ignoring (a)"]),
            inner,
        )
        | st.builds("({} or vector(0))".format, inner)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(QUERIES)
def test_what_is_written_is_read_as_the_same(query: str) -> None:
    tree = parse(query)
    assert counts_events(tree)
    written = total(tree)
    assert "rate(" not in written and "[5m]" not in written
    again = parse(written.replace("$window", "5m"))
    assert total(again) == written
    assert str(again).startswith("sum(")


@given(VALUES)
def test_texts_keep_their_characters(value: str) -> None:
    written = total(parse(f"rate(a{{b={quoted(value)}}}[5m])"))
    found = promql_parser.parse(written.replace("$window", "5m"))
    assert isinstance(found, promql_parser.AggregateExpr) and isinstance(found.expr, promql_parser.Call)
    assert found.expr.args[0].vector_selector.matchers.matchers[0].value == value


@pytest.mark.parametrize(
    ("query", "written"),
    [
        (
            'rate(a{b="c", d=~"e|f", g!="h", i!~"j"}[5m])',
            'sum(increase(a{b="c", d=~"e|f", g!="h", i!~"j"}[$window]))',
        ),
        ("sum(irate(a[5m])) without (x)", None),
        ("sum without (x) (irate(a[5m]))", "sum(increase(a[$window]))"),
        ("sum(sum by (x) (rate(a[5m])))", "sum(sum by (x) (increase(a[$window])))"),
        ("count_over_time(a[5m])", "sum(count_over_time(a[$window]))"),
        ("rate(a[5m]) * 2 + 3 ^ 2", "sum((increase(a[$window]) * 2) + (3 ^ 2))"),
        ("rate(a[5m]) > bool 1", "sum(increase(a[$window]) > bool 1)"),
        ("rate(a[5m]) * 1e-12 + Inf", "sum((increase(a[$window]) * 1e-12) + Inf)"),
        ("-rate(a[5m])", "sum(-increase(a[$window]))"),
        ("clamp_min(rate(a[5m]), 0.5)", "sum(clamp_min(increase(a[$window]), 0.5))"),
        (
            'label_replace(rate(a[5m]), "x", "$1", "y", "(.*)")',
            'sum(label_replace(increase(a[$window]), "x", "$1", "y", "(.*)"))',
        ),
    ],
)
def test_queries_over_the_window(query: str, written: str | None) -> None:
    assert total(parse(query)) == (written or "sum(increase(a[$window]))")


def test_what_stands_now_is_taken_over_the_window_if_it_is_said_how() -> None:
    assert (
        total(parse("sum(a) + b"), Writing("increase"))
        == "sum(sum(increase(a[$window])) + increase(b[$window]))"
    )
    with pytest.raises(BadQuery, match="what stands now"):
        total(parse("sum(a)"))


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("14.4 * (1 - 0.999)", 0.0144),
        ("-(1 + 2) / 4", -0.75),
        ("vector(30)", 30),
        ("1 / 0", None),
        ("2 ^ 3", None),
        ("a", None),
        ("1 + a", None),
        ("1e400", None),
    ],
)
def test_constants(query: str, value: float | None) -> None:
    found = constant(parse(query))
    assert found == (value if value is None else pytest.approx(value))
