"""The shape of a statement: which SELECT stands in it, or what it shows."""

import re
from collections.abc import Sequence
from typing import Final

from neural_hive.connectors.clickhouse_gate_words import name_of
from neural_hive.connectors.clickhouse_sql import SqlError, Token, first_word, tokens
from neural_hive.connectors.reader_rules import Rules, words

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


_PATTERN_WORDS: Final = words(
    """SHOW TABLES FROM IN NOT LIKE ILIKE LIMIT DATABASES FUNCTIONS COLUMNS CREATE TABLE VIEW DESCRIBE DESC EXISTS
    FORMAT EXPLAIN AST SYNTAX QUERY TREE PLAN PIPELINE ESTIMATE"""
)
# What may end a statement: V is a value.
_ENDS: Final = re.compile(r"((FORMAT I|SETTINGS I = [IV]( , I = [IV])*)( |$))+(;|$)")


def asked_in(sql: str, rules: Rules) -> str | None:
    """The SELECT in a statement; None for one that shows what there is, and may."""
    if first_word(sql) in _SELECTING:
        return sql
    found = list(tokens(sql))
    shape = _shape(found)
    if explained := _EXPLAINED.match(shape):
        rest = sql[found[explained.group().count(" ")].start :]  # a blank behind each word of the match
        if first_word(rest) in _SELECTING:
            return rest
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
    _check_shown(shown, shape, found, rules)
    return None


def _check_shown(shown: re.Match[str], shape: str, found: Sequence[Token], rules: Rules) -> None:
    if shown["database"]:
        rules.check_table(name_of(found[shape[: shown.start("database")].count(" ")]), "tables")
    for group in ("columns", "create", "described", "exists"):
        if shown[group]:
            at = shape[: shown.start(group)].count(" ")
            names = [name_of(token, small=False) for token in found[at : at + 3 : 2]]
            qualified = shown[group].count(".")
            rules.check_table(*(names[:2] if qualified else ("", names[0])))


def without_ends(sql: str) -> str:
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
    return " ".join(_letter(token) for token in found)


def _letter(token: Token) -> str:
    if token.kind == "word":
        return token.text.upper() if token.text.upper() in _PATTERN_WORDS else "I"
    return {"quoted": "I", "string": "S"}.get(token.kind, token.text)
