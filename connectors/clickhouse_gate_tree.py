"""The second look at a reader's statement: sqlglot's tree of it, with ClickHouse's grammar."""

from collections.abc import Collection
from typing import Any, ClassVar, Final

from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.clickhouse import ClickHouseParser
from sqlglot.tokenizer_core import TokenType

from neural_hive.connectors.clickhouse_sql import SqlError
from neural_hive.connectors.reader_rules import Rules, denied

_CHANGING: Final = (
    exp.Command,
    exp.DDL,
    exp.DML,
    exp.Into,
    exp.Use,
    exp.Set,
    exp.Kill,
    exp.Attach,
    exp.Detach,
)
_NAMED: Final = (
    exp.Anonymous,
    exp.AnonymousAggFunc,
    exp.CombinedAggFunc,
    exp.CombinedParameterizedAgg,
    exp.ParameterizedAgg,
)
_NODES_MAX: Final = 20_000


def _limit(parser: Any) -> tuple[str, Any]:
    """LIMIT n BY … may stand before another LIMIT, which sqlglot takes for a second one."""
    found = parser._parse_limit()
    by = found is not None and found.expressions
    return ("limit_by" if by else "limit", found)


class _Dialect(ClickHouse):
    class Parser(ClickHouseParser):
        QUERY_MODIFIER_PARSERS: ClassVar = {
            **ClickHouseParser.QUERY_MODIFIER_PARSERS,
            TokenType.LIMIT: _limit,
        }


class Unreadable(ValueError):
    """sqlglot cannot parse the statement; the text says where."""


class Tree:
    """A statement that asks for rows, parsed. Raises Unreadable, or SqlError if it is something else."""

    def __init__(self, sql: str) -> None:
        try:
            found = [one for one in _Dialect().parse(sql) if one is not None]
        except (ParseError, TokenError) as error:
            raise Unreadable(_told(error)) from None
        except RecursionError:
            raise denied("the statement is nested too deeply") from None
        if len(found) > 1:
            raise SqlError(62, "SYNTAX_ERROR", "Multi-statements are not allowed")
        if not found or not isinstance(found[0], exp.Query):
            raise denied("readers ask with SELECT or WITH")
        self._root = found[0]

    def names(self) -> frozenset[str]:
        """Names that the statement gives to what it makes."""
        return frozenset(
            node.alias.lower()
            for node in self._root.find_all(exp.Alias, exp.CTE, exp.TableAlias)
            if node.alias
        )

    def check(self, rules: Rules, own: Collection[str]) -> None:
        """Raises SqlError for what a reader may not name; `own` are names that the statement gives."""
        for count, node in enumerate(self._root.walk()):
            if count > _NODES_MAX:
                raise denied(f"a statement may have {_NODES_MAX} parts")
            if isinstance(node, _CHANGING):
                raise denied(f"{node.key.upper()} is not open to readers")
            if isinstance(node, exp.Table):
                _check_table(node, rules)
            elif isinstance(node, exp.Func) and not isinstance(node.parent, exp.Table):
                _check_function(node, rules, own)


def _check_table(table: exp.Table, rules: Rules) -> None:
    if table.catalog:
        raise denied("a table has a database and a name, and nothing before them")
    if isinstance(table.this, exp.Func):
        name = _function_name(table.this)
        rules.check_table_function(f"{table.db}.{name}" if table.db else name)
    elif isinstance(table.this, exp.Identifier):
        rules.check_table(table.db, table.name)


def _check_function(function: exp.Func, rules: Rules, own: Collection[str]) -> None:
    name = _function_name(function)
    if name:
        rules.check_call(name, own)


def _function_name(function: exp.Func) -> str:
    """As it was written; "" for operators and what has a grammar of its own."""
    if isinstance(function, _NAMED):
        return function.name
    written = function.meta.get("clickhouse_name") or function.meta.get("name")
    return str(written) if written else ""


def _told(error: Exception) -> str:
    found = error.errors if isinstance(error, ParseError) else []
    if not found:
        return " ".join(str(error).split())
    return f"{found[0]['description']} at line {found[0]['line']}, column {found[0]['col']}"
