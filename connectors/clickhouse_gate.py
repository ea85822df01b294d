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
from neural_hive.connectors.clickhouse_gate_tree import Tree, Unreadable
from neural_hive.connectors.clickhouse_gate_words import Words, check_letters, name_of
from neural_hive.connectors.clickhouse_sql import SqlError, Token, first_word, output_format, tokens
from neural_hive.connectors.reader_rules import Rules, check_format, denied, words

STATEMENT_BYTES_MAX: Final = 64 << 10
_KNOWN_MAX: Final = 1024
_SHOWING: Final = "EXPLAIN AST "
_POSITION: Final = re.compile(r"(failed at position )(\d+)")
_SELECTING: Final = ("SELECT", "WITH", "FROM")
_EXPLAINED: Final = re.compile(
    r"EXPLAIN( AST| SYNTAX| QUERY TREE| PLAN| PIPELINE| ESTIMATE)?( I = \d+( , I = \d+)*)? "
)
# In a statement's shape a name is I or a word of the pattern itself, and S a text.
_NAME: Final = "[A-Z]+"
_TABLE: Final = rf"{_NAME}(?:[ ]\.[ ]{_NAME})?"
_SHOWN: Final = re.compile(
    rf"""
    ( SHOW[ ]TABLES([ ](FROM|IN)[ ](?P<database>{_NAME}))?([ ](NOT[ ])?I?LIKE[ ]S)?([ ]LIMIT[ ]\d+)?
    | SHOW[ ](DATABASES|FUNCTIONS)([ ]I?LIKE[ ]S)?
    | SHOW[ ]COLUMNS[ ](FROM|IN)[ ](?P<columns>{_TABLE})([ ]I?LIKE[ ]S)?
    | SHOW[ ]CREATE([ ](TABLE|VIEW))?[ ](?P<create>{_TABLE})
    | (DESCRIBE|DESC)([ ]TABLE)?[ ](?P<described>{_TABLE})
    | EXISTS([ ](TABLE|VIEW))?[ ](?P<exists>{_TABLE})
    )([ ]FORMAT[ ]{_NAME})?([ ];)?
    """,
    re.VERBOSE,
)


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
        asks = self._asks(sql)
        if asks is None:
            return Admitted(None, 0, {}, ())
        settings = words.settings()
        try:
            tree = Tree(_without_ends(asks))
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

    def _asks(self, sql: str) -> str | None:
        """The SELECT in a statement; None for one that shows what there is, and may."""
        if first_word(sql) in _SELECTING:
            return sql
        found = list(tokens(sql))
        shape = _shape(found)
        if explained := _EXPLAINED.match(shape):
            start = (
                found[explained.group().count(" ")].start if explained.group().count(" ") < len(found) else 0
            )
            if first_word(sql[start:]) in _SELECTING:
                return sql[start:]
        if found[:1] and found[0].is_word("DESCRIBE", "DESC"):
            at = 2 if len(found) > 1 and found[1].is_word("TABLE") else 1
            if len(found) > at and found[at].text == "(" and first_word(sql[found[at].start :]) in _SELECTING:
                return sql[found[at].start :]
        if not (shown := _SHOWN.fullmatch(shape)):
            raise SqlError(
                164,
                "READONLY",
                "readers ask with SELECT, WITH, EXPLAIN, DESCRIBE, EXISTS, SHOW TABLES, SHOW COLUMNS or SHOW CREATE",
            )
        self._check_shown(shown, shape, found)
        return None

    def _check_shown(self, shown: re.Match[str], shape: str, found: Sequence[Token]) -> None:
        if shown["database"]:
            self._rules.check_table(name_of(found[shape[: shown.start("database")].count(" ")]), "tables")
        for group in ("columns", "create", "described", "exists"):
            if shown[group]:
                at = shape[: shown.start(group)].count(" ")
                names = [name_of(token, small=False) for token in found[at : at + 3 : 2]]
                qualified = shown[group].count(".")
                self._rules.check_table(*(names[:2] if qualified else ("", names[0])))


_ENDS: Final = re.compile(r"((FORMAT I|SETTINGS I = [IV]( , I = [IV])*)( |$))+(;|$)")


def _without_ends(sql: str) -> str:
    """The statement without the FORMAT and SETTINGS that end it: sqlglot takes them for names after GROUP BY ALL."""
    found = list(tokens(sql))
    for at, token in enumerate(found):
        if token.depth or not token.is_word("FORMAT", "SETTINGS"):
            continue
        if _ENDS.fullmatch(" ".join(_end_letter(later) for later in found[at:])):
            return sql[: token.start]
    return sql


def _end_letter(token: Token) -> str:
    if token.is_word("FORMAT", "SETTINGS"):
        return token.text.upper()
    return {"word": "I", "quoted": "I", "string": "V", "number": "V"}.get(token.kind, token.text)


def _shape(found: Sequence[Token]) -> str:
    """The statement with a letter for each name, text and number: words that are not the pattern's stay."""
    return " ".join(_letter(at, token) for at, token in enumerate(found))


_PATTERN_WORDS: Final = words(
    """SHOW TABLES FROM IN NOT LIKE ILIKE LIMIT DATABASES FUNCTIONS COLUMNS CREATE TABLE VIEW DESCRIBE DESC EXISTS
    FORMAT EXPLAIN AST SYNTAX QUERY TREE PLAN PIPELINE ESTIMATE"""
)


def _letter(at: int, token: Token) -> str:
    if token.kind == "word":
        return token.text.upper() if token.text.upper() in _PATTERN_WORDS else "I"
    return {"quoted": "I", "string": "S"}.get(token.kind, token.text)
