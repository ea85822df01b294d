"""An SLI expression: which events count, and which of them are good.

    parse("status = 'COMPLETED' AND duration_ms <= 5000", TICKET_FIELDS)

It is SQL: comparisons of fields with constants, IN, BETWEEN, LIKE, IS NULL, AND, OR, NOT. One text has two forms that
say the same, a test of one event in Python and a condition in ClickHouse's SQL, so that what was counted event by event
can be counted again by a query. NULL is as in SQL: a comparison with it is unknown, and what is unknown does not count.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from neural_hive.aggregates.sli_demands import NOTHING, Demands, demands

CHARS_MAX: Final = 2_000
NODES_MAX: Final = 200
CONSTANTS_MAX: Final = 1_000  # of one IN
WILDCARDS_MAX: Final = 4  # % of one pattern: each multiplies the ways in which a text may fit
DIGITS_MAX: Final = 15  # what a double holds exactly

Value = str | int | float | bool | None
Facts = Mapping[str, Value]
Truth = bool | None  # None: unknown
Test = Callable[[Facts], Truth]


class FieldType(StrEnum):
    """What stands in a field."""

    TEXT = "text"
    NUMBER = "number"
    BOOL = "true or false"


class Expression(msgspec.Struct, frozen=True):
    """A parsed expression."""

    text: str
    test: Test
    sql: str  # for ClickHouse, over columns named as the fields
    fields: frozenset[str]  # those it asks for
    demands: Demands = NOTHING  # what an event must have, or it is not true

    def holds(self, facts: Facts) -> bool:
        """Whether it is true for one event; unknown is not true."""
        return self.test(facts) is True


class BadExpression(ValueError):
    """A text that is no expression; the message says where and what would be one."""


def _always(facts: Facts) -> Truth:
    return True


EVERYTHING: Final = Expression("", _always, "1", frozenset())


def parse(text: str, fields: Mapping[str, FieldType]) -> Expression:
    """An expression over these fields; an empty text holds for everything. Raises BadExpression."""
    if not text.strip():
        return EVERYTHING
    if len(text) > CHARS_MAX:
        raise BadExpression(f"the expression has {len(text):,} characters, more than {CHARS_MAX:,}")
    try:
        tree = sqlglot.parse_one(text, read="clickhouse")
    except (SqlglotError, RecursionError) as error:
        raise BadExpression(f"this is no expression: {str(error).splitlines()[0][:200]}") from None
    if sum(1 for _ in tree.walk()) > NODES_MAX + CONSTANTS_MAX:
        raise BadExpression(f"the expression has more than {NODES_MAX} parts")
    reader = _Reader(fields)
    test, sql = reader.condition(tree)
    return Expression(text, test, sql, frozenset(reader.asked), demands(tree, _literal))


class _Reader:
    """Turns a tree into its two forms."""

    def __init__(self, fields: Mapping[str, FieldType]) -> None:
        self._fields = fields
        self.asked: set[str] = set()

    def condition(self, node: exp.Expr) -> tuple[Test, str]:
        """What is true, false or unknown."""
        match node:
            case exp.Paren():
                return self.condition(node.this)
            case exp.And() | exp.Or():
                return self._both(node)
            case exp.Not():
                test, sql = self.condition(node.this)
                return _negated(test), f"NOT ({sql})"
            case exp.EQ() | exp.NEQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
                return self._comparison(node)
            case exp.Between():
                return self._between(node)
            case exp.In():
                return self._membership(node)
            case exp.Like():
                return self._likeness(node)
            case exp.Is():
                return self._absence(node)
            case exp.Column():
                return self._flag(node)
            case exp.Boolean():
                value = bool(node.this)
                return (lambda facts: value), "1" if value else "0"
            case _:
                raise BadExpression(
                    f"{_told(node)} cannot stand here: comparisons with constants, IN, BETWEEN, LIKE, IS NULL, AND, "
                    "OR and NOT can"
                )

    def _both(self, node: exp.And | exp.Or) -> tuple[Test, str]:
        (first, first_sql), (second, second_sql) = self.condition(node.left), self.condition(node.right)
        word, make = ("AND", _all) if isinstance(node, exp.And) else ("OR", _any)
        return make(first, second), f"({first_sql} {word} {second_sql})"

    def _comparison(self, node: exp.Binary) -> tuple[Test, str]:
        kind: type[exp.Expr] = type(node)
        field, constant = node.left, node.right
        if not isinstance(field, exp.Column):
            field, constant, kind = constant, field, _MIRRORED[kind]
        name, found = self._field(field)
        value = self._constant(constant, found, name)
        if found is FieldType.BOOL and kind not in (exp.EQ, exp.NEQ):
            raise BadExpression(f"{name} is true or false: it has no order")
        compare, sign = _COMPARISONS[kind]
        return (lambda facts: None if (given := facts.get(name)) is None else compare(given, value)), (
            f"`{name}` {sign} {_quoted(value)}"
        )

    def _between(self, node: exp.Between) -> tuple[Test, str]:
        name, found = self._field(node.this)
        if found is FieldType.BOOL:
            raise BadExpression(f"{name} is true or false: it has no order")
        low: Any = self._constant(node.args["low"], found, name)
        high: Any = self._constant(node.args["high"], found, name)
        return (
            lambda facts: None if (given := facts.get(name)) is None else low <= given <= high
        ), f"`{name}` BETWEEN {_quoted(low)} AND {_quoted(high)}"

    def _membership(self, node: exp.In) -> tuple[Test, str]:
        name, found = self._field(node.this)
        if not node.expressions or any(node.args.get(part) for part in ("query", "unnest", "field")):
            raise BadExpression(f"{name} IN takes constants in brackets: {name} IN ('a', 'b')")
        if len(node.expressions) > CONSTANTS_MAX:
            raise BadExpression(f"{name} IN has more than {CONSTANTS_MAX:,} constants")
        values = [self._constant(item, found, name) for item in node.expressions]
        known = frozenset(values)
        return (
            lambda facts: None if (given := facts.get(name)) is None else given in known
        ), f"`{name}` IN ({', '.join(map(_quoted, values))})"

    def _likeness(self, node: exp.Like) -> tuple[Test, str]:
        name, found = self._field(node.this)
        if found is not FieldType.TEXT:
            raise BadExpression(f"{name} is {found}: LIKE takes a text")
        pattern = self._constant(node.expression, found, name)
        fits = _pattern(str(pattern)).fullmatch
        return (
            lambda facts: None if (given := facts.get(name)) is None else fits(str(given)) is not None
        ), f"`{name}` LIKE {_quoted(pattern)}"

    def _absence(self, node: exp.Is) -> tuple[Test, str]:
        name, _ = self._field(node.this)
        if not isinstance(node.expression, exp.Null):
            raise BadExpression(f"{name} IS takes NULL or NOT NULL")
        return (lambda facts: facts.get(name) is None), f"`{name}` IS NULL"

    def _flag(self, node: exp.Column) -> tuple[Test, str]:
        name, found = self._field(node)
        if found is not FieldType.BOOL:
            raise BadExpression(f"{name} is {found}: compare it with something")
        return (lambda facts: None if (given := facts.get(name)) is None else bool(given)), f"`{name}`"

    def _field(self, node: exp.Expr | None) -> tuple[str, FieldType]:
        if isinstance(node, exp.Paren):
            return self._field(node.this)
        if not isinstance(node, exp.Column):
            raise BadExpression(f"{_told(node)} is no field; there are: {', '.join(sorted(self._fields))}")
        name = node.name
        if node.table or name not in self._fields:
            raise BadExpression(
                f"there is no field {_told(node)}; there are: {', '.join(sorted(self._fields))}"
            )
        self.asked.add(name)
        return name, self._fields[name]

    def _constant(self, node: exp.Expr | None, wanted: FieldType, name: str) -> Value:
        value = _literal(node)
        kinds = {bool: FieldType.BOOL, str: FieldType.TEXT, int: FieldType.NUMBER, float: FieldType.NUMBER}
        if value is None or kinds[type(value)] is not wanted:
            raise BadExpression(f"{name} is {wanted}, and {_told(node)} is no constant of that kind")
        return value


def _literal(node: exp.Expr | None) -> Value:
    match node:
        case exp.Paren():
            return _literal(node.this)
        case exp.Boolean():
            return bool(node.this)
        case exp.Literal() if node.is_string:
            return str(node.this)
        case exp.Literal():
            return _number(str(node.this))
        case exp.Neg():
            value = _literal(node.this)
            return -value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case _:
            return None


def _number(text: str) -> int | float | None:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or len(text.replace(".", "")) > DIGITS_MAX:
        raise BadExpression(f"{text[:40]} is no number of at most {DIGITS_MAX} digits without exponent")
    return float(text) if "." in text else int(text)


def _pattern(like: str) -> re.Pattern[str]:
    r"""SQL's pattern: % is any text, _ any character, \ takes the meaning from what follows."""
    if like.count("%") > WILDCARDS_MAX:
        raise BadExpression(f"a pattern may have {WILDCARDS_MAX} %, and {like[:40]!r} has more")
    parts, characters = [], iter(like)
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters, "\\")))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return re.compile("".join(parts), re.DOTALL)


def _all(first: Test, second: Test) -> Test:
    def test(facts: Facts) -> Truth:
        left = first(facts)
        if left is False:
            return False
        right = second(facts)
        return False if right is False else None if left is None or right is None else True

    return test


def _any(first: Test, second: Test) -> Test:
    def test(facts: Facts) -> Truth:
        left = first(facts)
        if left is True:
            return True
        right = second(facts)
        return True if right is True else None if left is None or right is None else False

    return test


def _negated(inner: Test) -> Test:
    return lambda facts: None if (found := inner(facts)) is None else not found


def _quoted(value: Value) -> str:
    """A constant in ClickHouse's SQL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value)


def _told(node: exp.Expr | None) -> str:
    return repr(node.sql()[:80]) if node is not None else "nothing"


_COMPARISONS: Final[dict[type[exp.Expr], tuple[Callable[[Any, Any], bool], str]]] = {
    exp.EQ: (lambda given, value: given == value, "="),
    exp.NEQ: (lambda given, value: given != value, "!="),
    exp.LT: (lambda given, value: given < value, "<"),
    exp.LTE: (lambda given, value: given <= value, "<="),
    exp.GT: (lambda given, value: given > value, ">"),
    exp.GTE: (lambda given, value: given >= value, ">="),
}
_MIRRORED: Final[dict[type[exp.Expr], type[exp.Expr]]] = {
    exp.EQ: exp.EQ,
    exp.NEQ: exp.NEQ,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
}
