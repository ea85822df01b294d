"""PromQL as it is read from files: parsed within limits, its constants worked out, and written anew over $window.

The parser's time rises with the square of depth, so depth is bounded before it is asked.
"""

import math
import re
from typing import Final

import msgspec
import promql_parser as ql

CHARS_MAX: Final = 10_000  # what an indicator may hold
DEPTH_MAX: Final = 50  # of brackets
OPERATORS_MAX: Final = 200
WINDOW: Final = "$window"
DIGITS: Final = 9  # of constants: 1 - 0.999 is a little more than 0.001
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`', re.DOTALL)
_COMMENT: Final = re.compile(r"#[^\n]*")
_OPERATOR: Final = re.compile(r"[-+*/%^<>]|[!=]=|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_GROUPED: Final = frozenset(
    ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
)  # take no parameter
_RATES: Final = frozenset(("rate", "irate", "increase"))
_COUNTERS: Final = frozenset((*_RATES, "sum_over_time", "count_over_time"))

# The library's constants have no hash.
_SIGNS: Final = (
    (ql.MatchOp.Equal, "="),
    (ql.MatchOp.NotEqual, "!="),
    (ql.MatchOp.Re, "=~"),
    (ql.MatchOp.NotRe, "!~"),
)
_SIDES: Final = (
    (ql.VectorMatchCardinality.ManyToOne, "group_left"),
    (ql.VectorMatchCardinality.OneToMany, "group_right"),
)


class BadQuery(ValueError):
    """PromQL that is none, or that is not understood; the text says why."""


class Writing(msgspec.Struct, frozen=True):
    """How a query is written anew: every range is $window, and every rate an increase."""

    over: str = (
        ""  # the function that takes the window where a query asks for what stands now; empty: none can
    )


def parse(text: str) -> ql.Expr:
    """Raises BadQuery."""
    if len(text) > CHARS_MAX:
        raise BadQuery(f"the query has {len(text):,} characters, more than {CHARS_MAX:,}")
    bare = _COMMENT.sub("", _STRING.sub('""', text))
    depth = deepest = 0
    for character in bare:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > DEPTH_MAX:
        raise BadQuery(f"the query is nested more than {DEPTH_MAX} deep")
    if sum(1 for _ in _OPERATOR.finditer(bare)) > OPERATORS_MAX:
        raise BadQuery(f"the query has more than {OPERATORS_MAX} operators")
    try:
        return ql.parse(text)
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else "it cannot be read"
        raise BadQuery(f"this is no PromQL: {reason}") from None


def bare(node: ql.Expr) -> ql.Expr:
    """A node without the brackets around it."""
    while isinstance(node, ql.ParenExpr):
        node = node.expr
    return node


def operator(node: ql.Expr) -> str:
    """The operator of a binary expression; empty: it is none."""
    return str(node.op) if isinstance(node, ql.BinaryExpr) else ""


def constant(node: ql.Expr) -> float | None:
    """The number that an expression of numbers makes; None: it is none."""
    node = bare(node)
    if isinstance(node, ql.NumberLiteral):
        return node.val if math.isfinite(node.val) else None
    if isinstance(node, ql.UnaryExpr):
        value = constant(node.expr)
        return None if value is None else -value
    if isinstance(node, ql.Call) and node.func.name in ("scalar", "vector") and node.args:
        return constant(node.args[0])
    sign = operator(node)
    if sign not in ("+", "-", "*", "/") or not isinstance(node, ql.BinaryExpr):
        return None
    left, right = constant(node.lhs), constant(node.rhs)
    if left is None or right is None or (sign == "/" and right == 0):
        return None
    made = {"+": left + right, "-": left - right, "*": left * right, "/": left / (right or 1)}[sign]
    return made if math.isfinite(made) else None


def counts_events(node: ql.Expr) -> bool:
    """Whether a query is how many events there were: rates and increases, added up or subtracted."""
    node = bare(node)
    match node:
        case ql.Call():
            return node.func.name in _COUNTERS
        case ql.AggregateExpr():
            return str(node.op) == "sum" and counts_events(node.expr)
        case ql.BinaryExpr():
            if operator(node) == "or" and constant(node.rhs) == 0:
                return counts_events(node.lhs)
            return operator(node) in ("+", "-") and counts_events(node.lhs) and counts_events(node.rhs)
        case _:
            return False


def total(node: ql.Expr, writing: Writing = Writing()) -> str:  # noqa: B008 — it is frozen
    """How many events a query counts over the window, as one number. Raises BadQuery."""
    node = bare(node)
    if isinstance(node, ql.AggregateExpr) and str(node.op) == "sum":
        return f"sum({argument(node.expr, writing)})"
    return f"sum({argument(node, writing)})"


def argument(node: ql.Expr, writing: Writing) -> str:
    """The query over $window where brackets stand around it anyway. Raises BadQuery."""
    node = bare(node)
    if isinstance(node, ql.BinaryExpr):
        return f"{write(node.lhs, writing)} {_operation(node)} {write(node.rhs, writing)}"
    return write(node, writing)


def write(node: ql.Expr, writing: Writing) -> str:
    """The query over $window. Raises BadQuery: it has parts that cannot be written so."""
    match node:
        case ql.ParenExpr():
            return write(node.expr, writing)  # a binary operation brings its own brackets
        case ql.NumberLiteral():
            return _literal(node.val)
        case ql.StringLiteral():
            return _quoted(node.val)
        case ql.UnaryExpr():
            return f"-{write(node.expr, writing)}"
        case ql.VectorSelector():
            if not writing.over:
                raise BadQuery(f"it asks what stands now, and counts nothing over time: {selector(node)}")
            return f"{writing.over}({selector(node)}[{WINDOW}])"
        case ql.Call():
            return _call(node, writing)
        case ql.AggregateExpr():
            return _aggregate(node, writing)
        case ql.BinaryExpr():
            return f"({argument(node, writing)})"
        case _:
            raise BadQuery("it asks for a query within a range: $window cannot be written into that")


def _call(node: ql.Call, writing: Writing) -> str:
    ranges = [arg for arg in node.args if isinstance(arg, ql.MatrixSelector)]
    if not ranges:
        return f"{node.func.name}({', '.join(argument(arg, writing) for arg in node.args)})"
    name = "increase" if node.func.name in _RATES else node.func.name
    written = [
        f"{selector(arg.vector_selector)}[{WINDOW}]"
        if isinstance(arg, ql.MatrixSelector)
        else write(arg, writing)
        for arg in node.args
    ]
    return f"{name}({', '.join(written)})"


def _aggregate(node: ql.AggregateExpr, writing: Writing) -> str:
    name = str(node.op)
    if name not in _GROUPED:
        raise BadQuery(f"{name} chooses among series, and does not count all of them")
    grouping = ""
    if node.modifier is not None:
        word = "by" if node.modifier.type == ql.AggModifierType.By else "without"
        grouping = f" {word} ({', '.join(node.modifier.labels)}) "
    return f"{name}{grouping}({argument(node.expr, writing)})"


def _operation(node: ql.BinaryExpr) -> str:
    found, words = node.modifier, [str(node.op)]
    if found is None:
        return words[0]
    if found.return_bool:
        words.append("bool")
    if found.matching is not None:
        word = "on" if found.matching.type == ql.LabelModifierType.Include else "ignoring"
        words.append(f"{word} ({', '.join(found.matching.labels)})")
    side = next((word for card, word in _SIDES if card == found.card), "")
    if side:
        words.append(f"{side} ({', '.join(found.group_labels or ())})")
    return " ".join(words)


def selector(
    node: ql.VectorSelector, name: str | None = None, without: str = "", more: tuple[str, ...] = ()
) -> str:
    """A selector; with another metric, without the matchers of a label, and with more of them."""
    if node.offset is not None or node.at is not None:
        raise BadQuery("it looks at another time (offset or @): an SLI counts now")
    if node.matchers.or_matchers:
        raise BadQuery("it has `or` between its matchers: write the values as one =~")
    kept = [_matcher(found) for found in node.matchers.matchers if found.name != without]
    matchers = ", ".join((*kept, *more))
    return (name or node.name or "") + ("{" + matchers + "}" if matchers else "")


def _matcher(found: ql.Matcher) -> str:
    sign = next(sign for op, sign in _SIGNS if op == found.op)
    return f"{found.name}{sign}{_quoted(found.value)}"


def equalities(node: ql.VectorSelector) -> dict[str, str]:
    """Which labels must have which value."""
    return {found.name: found.value for found in node.matchers.matchers if found.op == ql.MatchOp.Equal}


def selectors(node: ql.Expr) -> list[ql.VectorSelector]:
    """All selectors of a query, from left to right."""
    match node:
        case ql.VectorSelector():
            return [node]
        case ql.MatrixSelector():
            return [node.vector_selector]
        case ql.BinaryExpr():
            return [*selectors(node.lhs), *selectors(node.rhs)]
        case ql.Call():
            return [found for arg in node.args for found in selectors(arg)]
        case ql.ParenExpr() | ql.UnaryExpr() | ql.AggregateExpr() | ql.SubqueryExpr():
            return selectors(node.expr)
        case _:
            return []


def number(value: float) -> str:
    """A finite number as PromQL writes it, without noise in its last digits."""
    return _literal(round(value, DIGITS))


def _literal(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)


def _quoted(value: str) -> str:
    for character, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        value = value.replace(character, escape)
    return f'"{value}"'
