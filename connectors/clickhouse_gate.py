"""What a reader of the embedded engine may run.

Three readers of SQL look at a statement, and each must let it through: our own tokens, sqlglot's tree, and the
engine's own tree of what it has parsed. Behind them the engine itself gives a reader's connection only a role that
reads one database. What is in none of the lists is refused.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from neural_hive.connectors.clickhouse_connection import EngineError
from neural_hive.connectors.clickhouse_gate_engine import check_engine_tree
from neural_hive.connectors.clickhouse_gate_shapes import asked_in, without_ends
from neural_hive.connectors.clickhouse_gate_tree import Tree, Unreadable
from neural_hive.connectors.clickhouse_gate_words import Words, check_letters
from neural_hive.connectors.clickhouse_sql import SqlError, output_format
from neural_hive.connectors.reader_rules import Rules, check_format, denied

STATEMENT_BYTES_MAX: Final = 64 << 10
_KNOWN_MAX: Final = 1024
_SHOWING: Final = "EXPLAIN AST "
_POSITION: Final = re.compile(r"(failed at position )(\d+)")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A statement that may be given to the engine, to be parsed: `asks` is its SELECT, which begins at letter
    `at`; None if it only shows."""

    asks: str | None
    at: int
    settings: dict[str, str]
    own: Collection[str]
    unreadable: str | None = None


class ReaderGate:
    """Lets one reading statement through, and refuses by default.

    Not a sandbox: it does not protect from a query that exhausts the machine within its limits, or finds a fault of
    the engine, which takes the process down.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._confirmed: OrderedDict[str, None] = OrderedDict()

    def admit(self, sql: str) -> Admitted:
        """The first two looks. Raises SqlError: 497 (ACCESS_DENIED), 164 (READONLY), 62 (SYNTAX_ERROR)."""
        if len(sql.encode()) > STATEMENT_BYTES_MAX:
            raise SqlError(
                307, "TOO_MANY_BYTES", f"a reader's statement may have {STATEMENT_BYTES_MAX} bytes"
            )
        check_letters(sql)
        words = Words(sql, self._rules)
        if chosen := output_format(sql):
            check_format(chosen)
        asks = asked_in(sql, self._rules)
        if asks is None:
            return Admitted(None, 0, {}, ())
        settings = words.settings()
        try:
            tree = Tree(without_ends(asks))
        except Unreadable as error:
            words.check(words.aliases())
            return Admitted(asks, len(sql) - len(asks), settings, words.aliases(), str(error))
        own = words.aliases() | tree.names()
        words.check(own)
        tree.check(self._rules, own)
        return Admitted(asks, len(sql) - len(asks), settings, own)

    def confirm(self, admitted: Admitted, explain: Callable[[str], Sequence[str]]) -> None:
        """The third look. `explain` runs a statement in the reader's connection and gives its rows.

        Raises SqlError for what is refused, and the engine's own error for what it cannot parse.
        """
        if admitted.asks is None or admitted.asks in self._confirmed:
            return
        try:
            lines = explain(f"{_SHOWING}{admitted.asks}")
        except EngineError as error:
            shift = len(_SHOWING) - admitted.at
            moved = _POSITION.sub(lambda found: f"{found[1]}{int(found[2]) - shift}", str(error))
            raise EngineError(error.code, moved) from None
        check_engine_tree(lines, self._rules, admitted.own)
        if admitted.unreadable:
            raise denied(
                f"the statement cannot be checked ({admitted.unreadable}): write this part in another way, or simpler"
            )
        self._confirmed[admitted.asks] = None
        if len(self._confirmed) > _KNOWN_MAX:
            self._confirmed.popitem(last=False)
