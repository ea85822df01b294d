"""What an alert compares: a share of events, found behind percents, `1 - x`, aggregations and recorded rules.

100 * (1 - sum(rate(good[5m])) / sum(rate(total[5m])))      is  100 - 100 × share
"""

import re
from typing import Final

import msgspec
import promql_parser as ql

from neural_hive.slo_files.promql import (
    BadQuery,
    bare,
    constant,
    counts_events,
    equalities,
    operator,
    parse,
    selector,
    selectors,
    total,
)
from neural_hive.slo_files.records import Records

RECORDED_DEPTH_MAX: Final = 3  # of recording rules in recording rules
SAMPLE_EVENTS: Final = 1_000  # as which a sample of a recorded ratio counts: events are whole numbers
UP: Final = ("up", "probe_success")  # 1: it answered, 0: it did not
_RATIO_NAME: Final = re.compile(
    r"ratio|burn_?rate|error_?rate|success_?rate|availability|error_percent", re.IGNORECASE
)
_WINDOW_SUFFIX: Final = re.compile(r"(?<=[a-z_:])\d+(?:ms|[smhdwy])$")
_KEEPING: Final = ("sum", "avg", "min", "max")  # of shares they make shares
_COMPARISONS: Final = (">", "<", ">=", "<=", "==", "!=")


class Share(msgspec.Struct, frozen=True):
    """Some events of others, as queries over $window."""

    part: str
    whole: str
    assumed: tuple[str, ...] = ()
    recorded: str = ""  # the recorded ratio that it was taken from, without the time in its name
    recorded_over_s: float = 0.0  # the time in its name
    is_up: bool = False
    quantile: float | None = None  # which one was compared; the share is then known only with the bound
    histogram: ql.VectorSelector | None = None


class Line(msgspec.Struct, frozen=True):
    """offset + scale × share."""

    share: Share
    scale: float = 1.0
    offset: float = 0.0
    budget: float | None = None  # by which the share was divided: what is compared is a burn rate


def line(node: ql.Expr, records: Records, depth: int = 0) -> Line:
    """What is compared. Raises BadQuery: it is no share of events."""
    node = bare(node)
    match node:
        case ql.BinaryExpr():
            return _binary(node, records, depth)
        case ql.AggregateExpr():
            if (found := _aggregated_up(node)) is not None:
                return Line(found)
            if str(node.op) not in _KEEPING:
                raise BadQuery(f"it compares a result of {node.op}, and no share of events")
            inner = line(node.expr, records, depth)
            if inner.share.is_up and str(node.op) == "sum":
                raise BadQuery("it adds up how many are up: divide by count(up), and it is a share")
            return msgspec.structs.replace(inner, share=_assuming(inner.share, _grouping(node)))
        case ql.Call():
            return Line(_of_call(node))
        case ql.VectorSelector():
            return _of_selector(node, records, depth)
        case _:
            raise BadQuery("it compares no share of events")


def _binary(node: ql.BinaryExpr, records: Records, depth: int) -> Line:
    sign, left, right = operator(node), constant(node.lhs), constant(node.rhs)
    if sign in _COMPARISONS and right is not None:  # keeps some series: `… > 0`
        return line(node.lhs, records, depth)
    if right is not None and sign in ("+", "-", "*", "/"):
        return _moved(line(node.lhs, records, depth), sign, right)
    if left is not None and sign in ("+", "*"):
        return _moved(line(node.rhs, records, depth), sign, left)
    if left is not None and sign == "-":
        found = line(node.rhs, records, depth)
        return msgspec.structs.replace(found, scale=-found.scale, offset=left - found.offset)
    if sign == "/":
        return _up_ratio(node) or _ratio(node, records, depth)
    raise BadQuery(f"it compares a result of {sign!r}, and no share of events")


def _moved(found: Line, sign: str, by: float) -> Line:
    if sign in ("+", "-"):
        return msgspec.structs.replace(found, offset=found.offset + (by if sign == "+" else -by))
    if by == 0:
        raise BadQuery("it multiplies with 0, or divides by it")
    factor = by if sign == "*" else 1 / by
    budget = by if sign == "/" and 0 < by < 1 else found.budget
    return msgspec.structs.replace(
        found, scale=found.scale * factor, offset=found.offset * factor, budget=budget
    )


def _ratio(node: ql.BinaryExpr, records: Records, depth: int) -> Line:
    factor, above = _factored(node.lhs)
    divisor, under = _factored(node.rhs)
    part, whole = (_unfiltered(_resolved(side, records, depth)) for side in (above, under))
    for side in (part, whole):
        if not counts_events(side):
            raise BadQuery(
                "it divides what stands now, and no counted events (rate or increase of a counter): "
                f"{_told(side)}"
            )
    assumed = (*_grouping(part), *_grouping(whole))[:1]
    scale = factor / divisor
    if isinstance(part, ql.BinaryExpr) and operator(part) == "-" and total(part.lhs) == total(whole):
        return Line(Share(total(part.rhs), total(whole), assumed), -scale, scale)  # (total - good) / total
    return Line(Share(total(part), total(whole), assumed), scale)


def _factored(node: ql.Expr) -> tuple[float, ql.Expr]:
    """A query without the number that it is multiplied with, as in `100 * sum(…)`, and that number."""
    node = bare(node)
    if isinstance(node, ql.BinaryExpr) and operator(node) == "*":
        for number_side, other in ((node.lhs, node.rhs), (node.rhs, node.lhs)):
            if found := constant(number_side):
                return found, other
    return 1.0, node


def _unfiltered(node: ql.Expr) -> ql.Expr:
    """Without `> 0`, which keeps out series without events: those count nothing."""
    node = bare(node)
    while isinstance(node, ql.BinaryExpr) and operator(node) in _COMPARISONS and constant(node.rhs) == 0:
        node = bare(node.lhs)
    return node


def _grouping(node: ql.Expr) -> tuple[str, ...]:
    node = _unfiltered(node)
    if isinstance(node, ql.AggregateExpr) and node.modifier is not None and node.modifier.labels:
        return ("it is counted over all series together, and not for each of them",)
    if isinstance(node, ql.Call):
        return ("it is counted over all series together, and not for each of them",)
    return ()


def _assuming(share: Share, more: tuple[str, ...]) -> Share:
    return msgspec.structs.replace(share, assumed=tuple(dict.fromkeys((*share.assumed, *more))))


def _of_call(node: ql.Call) -> Share:
    name = node.func.name
    if name == "histogram_quantile" and len(node.args) == 2:
        return _quantile(node)
    if name in ("avg_over_time", "min_over_time", "max_over_time"):
        asked = node.args[0]
        if isinstance(asked, ql.MatrixSelector) and asked.vector_selector.name in UP:
            return _up(asked.vector_selector)
    if name in ("absent", "absent_over_time"):
        raise BadQuery("it asks whether something is missing: what is not there cannot be counted")
    raise BadQuery(f"it compares a result of {name}, and no share of events")


def _quantile(node: ql.Call) -> Share:
    quantile, found = constant(node.args[0]), selectors(node.args[1])
    if quantile is None or not 0 < quantile < 1 or len(found) != 1:
        raise BadQuery("its quantile is no number within 0 and 1, or is not of one histogram")
    if not counts_events(node.args[1]):
        raise BadQuery("its quantile is not that of a rate of buckets")
    if not (found[0].name or "").endswith("_bucket"):
        raise BadQuery(f"it asks for a histogram without buckets: {selector(found[0])}")
    inner = bare(node.args[1])
    modifier = inner.modifier if isinstance(inner, ql.AggregateExpr) else None
    labels = set(modifier.labels) - {"le"} if modifier is not None else set()
    assumed = _grouping(node.args[1]) if labels or modifier is None else ()
    return Share("", "", assumed, quantile=quantile, histogram=found[0])


def below(share: Share, bound: float, le: str) -> Share:
    """The share of a histogram's events that are no greater than a bound."""
    assert share.histogram is not None and share.histogram.name is not None
    name = share.histogram.name
    fast = selector(share.histogram, without="le", more=(le,))
    whole = selector(share.histogram, name.removesuffix("_bucket") + "_count", without="le")
    said = f"the histogram {name} has a bucket that ends at {bound:g}"
    return Share(
        f"sum(increase({fast}[$window]))", f"sum(increase({whole}[$window]))", (*share.assumed, said)
    )


def _of_selector(node: ql.VectorSelector, records: Records, depth: int) -> Line:
    if node.name in UP:
        return Line(_up(node))
    if (record := _record(node, records)) is not None:
        if depth >= RECORDED_DEPTH_MAX:
            raise BadQuery("its recording rules stand in each other")
        return line(parse(record), records, depth + 1)
    name = node.name or ""
    if not _RATIO_NAME.search(name):
        raise BadQuery(f"it compares {_told(node)}, which is no share of events as far as its name says")
    written = selector(node)
    said = (
        f"{written} is a recorded ratio: each of its samples counts as {SAMPLE_EVENTS:,} events, however "
        "many there were (with the one rule that records it in the same file, events are counted)"
    )
    part = f"{SAMPLE_EVENTS} * sum(sum_over_time({written}[$window]))"
    whole = f"{SAMPLE_EVENTS} * sum(count_over_time({written}[$window]))"
    base, over = selector(node, _WINDOW_SUFFIX.sub("", name)), _WINDOW_SUFFIX.search(name)
    over_s = ql.parse_duration(over[0]).total_seconds() if over else 0.0
    return Line(Share(part, whole, (said,), recorded=base, recorded_over_s=over_s))


def _record(node: ql.VectorSelector, records: Records) -> str | None:
    """The query of the recording rule of this file that a selector asks for."""
    if len(equalities(node)) < len(node.matchers.matchers):
        return None
    return records.find(node.name or "", equalities(node))


def _resolved(node: ql.Expr, records: Records, depth: int) -> ql.Expr:
    """A side of a ratio; a recorded count is what its rule counts."""
    inner = bare(node)
    while isinstance(inner, ql.AggregateExpr) and str(inner.op) == "sum":
        inner = bare(inner.expr)
    if isinstance(inner, ql.VectorSelector) and depth < RECORDED_DEPTH_MAX:
        record = _record(inner, records)
        if record is not None:
            return _resolved(parse(record), records, depth + 1)
    return bare(node)


def _up(found: ql.VectorSelector) -> Share:
    written = selector(found)
    said = f"each scrape counts as an event, good where {found.name} is 1"
    return Share(
        f"sum(sum_over_time({written}[$window]))",
        f"sum(count_over_time({written}[$window]))",
        (said,),
        is_up=True,
    )


def _aggregated_up(node: ql.AggregateExpr) -> Share | None:
    found = bare(node.expr)
    is_share = str(node.op) in ("avg", "min", "max")
    return _up(found) if is_share and isinstance(found, ql.VectorSelector) and found.name in UP else None


def _up_ratio(node: ql.BinaryExpr) -> Line | None:
    """count(up == 0) / count(up), or sum(up) / count(up)."""
    factor, part = _factored(node.lhs)
    whole = bare(node.rhs)
    if not (isinstance(part, ql.AggregateExpr) and isinstance(whole, ql.AggregateExpr)):
        return None
    counted, among = bare(part.expr), bare(whole.expr)
    if str(whole.op) != "count" or not isinstance(among, ql.VectorSelector) or among.name not in UP:
        return None
    up = _assuming(_up(among), _grouping(whole))
    if str(part.op) == "sum" and _is_same_metric(counted, among):
        return Line(up, factor)
    if str(part.op) == "count" and isinstance(counted, ql.BinaryExpr) and operator(counted) == "==":
        value = constant(counted.rhs)
        if _is_same_metric(bare(counted.lhs), among) and value in (0, 1):
            return Line(up, factor) if value else Line(up, -factor, factor)
    return None


def _is_same_metric(node: ql.Expr, other: ql.VectorSelector) -> bool:
    return isinstance(node, ql.VectorSelector) and selector(node) == selector(other)


def _told(node: ql.Expr) -> str:
    found = selectors(node)
    return found[0].name or "a metric" if found else "numbers"
