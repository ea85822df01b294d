"""What an alert's expression promises: which events are good, which count, and how many shall be good.

sum(rate(errors[5m])) / sum(rate(requests[5m])) > 0.01          99 % of requests are no errors
histogram_quantile(0.95, sum by (le) (rate(t_bucket[5m]))) > 0.3    95 % take at most 0.3
slo:sli_error:ratio_rate5m > (14.4 * 0.001) and …               99.9 %: 0.001 is the budget
up == 0                                                         says no target
"""

import math
from typing import Final

import msgspec
import promql_parser as ql

from neural_hive.aggregates.slo import SloType
from neural_hive.slo_files.promql import DIGITS, BadQuery, bare, constant, number, operator, parse
from neural_hive.slo_files.records import Records
from neural_hive.slo_files.shares import Line, Share, below, line

UP_TARGET: Final = 0.99  # where an alert says only that nothing may ever be down
_MIRRORED: Final = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}
_ABOVE: Final = (">", ">=")
_BELOW: Final = ("<", "<=")


class Promise(msgspec.Struct, frozen=True):
    """What an alert was understood to promise."""

    good: str
    valid: str
    target: float
    slo_type: SloType  # as far as the expression says
    assumed: tuple[str, ...] = ()
    recorded: str = ""  # see Share
    recorded_over_s: float = 0.0


def promise(expression: str, records: Records) -> Promise:
    """What an alert promises. Raises BadQuery: nothing that was understood, and why."""
    found: list[Promise] = []
    reasons: list[str] = []
    for leaf in _conditions(parse(expression)):
        try:
            found.append(_compared(leaf, records))
        except BadQuery as error:
            reasons.append(str(error))
    if not found:
        raise BadQuery(reasons[0])
    first = min(found, key=lambda other: other.recorded_over_s)  # the shortest time is the least averaged
    if any(not is_same(first, other) for other in found):
        raise BadQuery("it compares more than one share of events: write an alert for each")
    strictest = max(other.target for other in found)
    assumed = [text for other in found for text in other.assumed if _is_counted_alike(first, other)]
    assumed += [f"a condition beside it was left out: {reason}" for reason in reasons]
    if any(other.target != strictest for other in found):
        assumed.append(f"of its thresholds the strictest counts: {strictest}")
    return msgspec.structs.replace(first, target=strictest, assumed=tuple(dict.fromkeys(assumed)))


def is_same(one: Promise, other: Promise) -> bool:
    """Whether they promise something of the same events."""
    return _is_counted_alike(one, other) or bool(one.recorded and one.recorded == other.recorded)


def _is_counted_alike(one: Promise, other: Promise) -> bool:
    return (one.good, one.valid) == (other.good, other.valid)


def _conditions(node: ql.Expr) -> list[ql.Expr]:
    """The comparisons that are joined by and, or; what follows `unless` is when not to tell, and no promise."""
    node = bare(node)
    match operator(node):
        case "and" | "or" if isinstance(node, ql.BinaryExpr):
            return [*_conditions(node.lhs), *_conditions(node.rhs)]
        case "unless" if isinstance(node, ql.BinaryExpr):
            return _conditions(node.lhs)
        case _:
            if isinstance(node, ql.AggregateExpr) and operator(bare(node.expr)) in (*_MIRRORED, "and", "or"):
                return _conditions(node.expr)
            return [node]


def _compared(node: ql.Expr, records: Records) -> Promise:
    sign = operator(node)
    if sign not in _MIRRORED or not isinstance(node, ql.BinaryExpr):
        if _asks(node, "absent", "absent_over_time"):
            line(node, records)  # says why
        raise BadQuery("it compares nothing with a number")
    left, right = node.lhs, node.rhs
    if constant(right) is None:
        left, right, sign = right, left, _MIRRORED[sign]
    threshold = constant(right)
    if threshold is None:
        raise BadQuery("it compares two queries with each other: a promise needs a number")
    return _promised(line(left, records), sign, threshold, _budget(right))


def _asks(node: ql.Expr, *functions: str) -> bool:
    return isinstance(node, ql.Call) and node.func.name in functions


def _budget(node: ql.Expr) -> float | None:
    """The budget in `14.4 * 0.001`, which says how many times faster than allowed events go wrong."""
    node = bare(node)
    if not isinstance(node, ql.BinaryExpr) or operator(node) != "*":
        return None
    for side in (node.rhs, node.lhs):
        value = constant(side)
        if value is not None and 0 < value < 1:
            return value
    return None


def _promised(compared: Line, sign: str, threshold: float, budget: float | None) -> Promise:
    if compared.share.is_up and (threshold, sign) in ((0, "=="), (1, "!="), (1, "<"), (0, "<=")):
        said = f"it names no target: {UP_TARGET:g} of all scrapes shall be good"
        share = compared.share
        return Promise(share.part, share.whole, UP_TARGET, SloType.AVAILABILITY, (*share.assumed, said))
    if sign not in (*_ABOVE, *_BELOW):
        raise BadQuery(f"{sign} compares with one number: a promise is kept above or below it")
    bound = (threshold - compared.offset) / compared.scale if compared.scale else math.nan
    if not math.isfinite(bound):
        raise BadQuery("its numbers are too large or too small")
    sign = _MIRRORED[sign] if compared.scale < 0 else sign
    if compared.share.quantile is not None:
        return _fast_enough(compared.share, sign, bound)
    return _good_enough(compared, sign, bound, budget)


def _fast_enough(share: Share, sign: str, bound: float) -> Promise:
    assert share.quantile is not None
    if sign not in _ABOVE or bound <= 0:
        raise BadQuery("a quantile that must not fall below a number is no promise of speed")
    counted = below(share, bound, _le(bound))
    target = round(share.quantile, DIGITS)
    return Promise(counted.part, counted.whole, target, SloType.LATENCY, counted.assumed)


def _le(bound: float) -> str:
    """The bucket that ends at a bound: clients write 1 or 1.0."""
    text = number(bound)
    return f'le="{text}"' if "." in text else f'le=~"{text}|{text}\\\\.0"'


def _good_enough(compared: Line, sign: str, bound: float, budget: float | None) -> Promise:
    share, is_bad = compared.share, sign in _ABOVE
    allowed = compared.budget or budget
    target = 1 - (bound if allowed is None or not is_bad else allowed) if is_bad else bound
    target = round(target, DIGITS)
    if not 0 < target < 1:
        raise BadQuery(
            f"it makes a target of {target}, which leaves no error budget: a target is within 0 and 1"
        )
    good = f"{share.whole} - ({share.part} or vector(0))" if is_bad else share.part
    recorded = share.recorded, share.recorded_over_s
    return Promise(good, share.whole, target, _type(share, is_bad), share.assumed, *recorded)


def _type(share: Share, is_bad: bool) -> SloType:
    if "_bucket{" in share.part + share.whole:
        return SloType.LATENCY
    if share.is_up or not is_bad:
        return SloType.AVAILABILITY
    return SloType.ERROR_RATE
