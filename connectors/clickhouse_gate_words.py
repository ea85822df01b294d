"""The first look at a reader's statement, word by word, with our own tokens: what may stand before a bracket, after a
dot, and what a statement may begin with. It knows no grammar, so no grammar can deceive it.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from neural_hive.connectors.clickhouse_sql import SqlError, Token, tokens
from neural_hive.connectors.reader_rules import Rules, denied, words

# The engine reads these as quotes and as a comment; other readers of SQL, ours included, do not.
_LOOKALIKES: Final = frozenset("\u2018\u2019\u201c\u201d\u2212")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_KEYWORDS: Final = words(
    """ALL AND ANY APPLY ARRAY AS ASOF BETWEEN BY CASE COLUMNS CROSS CUBE DESC DESCRIBE DISTINCT DIV ELSE EXCEPT EXISTS
    EXPLAIN FILTER FINAL FROM FULL GLOBAL GROUPING HAVING ILIKE IN INNER INTERPOLATE INTERSECT INTERVAL IS JOIN KEY
    LEFT LIKE LIMIT MATERIALIZED MOD NOT OFFSET ON OR OVER PREWHERE QUALIFY RECURSIVE REGEXP REPLACE RIGHT ROLLUP
    SELECT SEMI ANTI SETS STEP STRICT TABLE THEN TO TOTALS TREE PLAN PIPELINE SYNTAX ESTIMATE AST UNION USING VALUES
    WHEN WHERE WINDOW WITH"""
)


def check_letters(sql: str) -> None:
    """Raises SqlError for what readers of SQL are known to read in different ways."""
    if _CONTROL.search(sql):
        raise denied("control characters are refused")
    if _LOOKALIKES & set(sql):
        raise denied(
            "typographic quotes and minus signs are refused: use plain ones, or a parameter {x:String}"
        )
    for token in tokens(sql, comments=True):
        if token.kind == "comment":
            if token.text.startswith("/*") and "/*" in token.text[2:]:
                raise denied("a comment within a comment is refused")
        elif token.kind == "heredoc":
            raise denied("$…$ strings are not open to readers: use plain quotes")
        elif token.kind == "quoted":
            if "\\" in token.text or "\n" in token.text or token.text[1:-1].count(token.text[0]):
                raise denied("quotes, backslashes and line ends in a name are refused")
        elif token.kind != "string" and not token.text.isascii():
            raise denied("letters outside ASCII must stand in quotes")
        elif token.text in ("'", '"', "`", "$", "\\"):
            raise SqlError(62, "SYNTAX_ERROR", f"a {token.text} without its end")


class Words:
    """A statement's words, each with the two before it."""

    def __init__(self, sql: str, rules: Rules) -> None:
        self._rules = rules
        self._tokens = list(tokens(sql))

    def aliases(self) -> frozenset[str]:
        """Names that the statement itself gives: after AS, and before AS."""
        found = set()
        for before, token in zip(self._tokens, self._tokens[1:], strict=False):
            if before.is_word("AS") and name_of(token):
                found.add(name_of(token))
            if token.is_word("AS") and name_of(before):
                found.add(name_of(before))
        return frozenset(found)

    def check(self, own: Collection[str]) -> None:
        """Raises SqlError for what a reader may not name. `own` are names that the statement gives."""
        for first, second, third in self._windows():
            self._check_pair(second, third)
            if second.text == "." and first is not None:
                self._rules.check_name(f"{name_of(first)}.{name_of(third)}")
            name = name_of(second)
            if (
                third.text == "("
                and name
                and not (second.kind == "word" and second.text.upper() in _KEYWORDS)
            ):
                self._check_call(first, name, name_of(second, small=False), own)
        self._check_applied()

    def _check_applied(self) -> None:
        """APPLY takes the bare name of a function, in brackets or without them; or a lambda in brackets."""
        for at, token in enumerate(self._tokens):
            if not token.is_word("APPLY") or self._is_lambda(at + 1):
                continue
            named = at + 2 if self._text(at + 1) == "(" else at + 1
            if named < len(self._tokens):
                name = name_of(self._tokens[named], small=False)
                self._rules.check_call(name or self._text(named), ())

    def _is_lambda(self, at: int) -> bool:
        """Whether `(x -> …` or `((x, y) -> …` begins here."""
        if self._text(at) != "(":
            return False
        at += 1
        if self._text(at) == "(":
            while self._text(at + 1) == "," or (at + 1 < len(self._tokens) and name_of(self._tokens[at + 1])):
                at += 1
            at += 1
        return self._text(at + 1) == "-" and self._text(at + 2) == ">"

    def settings(self) -> dict[str, str]:
        """What SETTINGS clauses ask for, anywhere in the statement. Raises SqlError if two differ."""
        found: dict[str, str] = {}
        for at, token in enumerate(self._tokens):
            if token.is_word("SETTINGS") and self._text(at + 2) == "=":
                for name, value in self._assignments(at + 1):
                    if found.setdefault(name, value) != value:
                        raise denied(f"{name} is set twice: a statement has one value of a setting")
        return found

    def _assignments(self, at: int) -> Iterator[tuple[str, str]]:
        while self._text(at + 1) == "=":
            value = self._tokens[at + 2] if at + 2 < len(self._tokens) else None
            yield self._tokens[at].text, _value(value)
            if self._text(at + 3) != ",":
                return
            at += 4

    def _text(self, at: int) -> str:
        return self._tokens[at].text if at < len(self._tokens) else ""

    def _windows(self) -> Iterator[tuple[Token | None, Token, Token]]:
        first: Token | None = None
        for second, third in zip(self._tokens, self._tokens[1:], strict=False):
            yield first, second, third
            first = second

    def _check_call(self, before: Token | None, name: str, written: str, own: Collection[str]) -> None:
        if before is not None and before.text == ".":
            # Only a parametrised view has a qualified name before a bracket.
            self._rules.check_table_function(written)
        elif name in self._rules.data_types or name in ("enum", "json"):
            return
        else:
            try:
                self._rules.check_call(written, own)
            except SqlError:
                self._rules.check_table_function(written)

    def _check_pair(self, before: Token, token: Token) -> None:
        if token.is_word("OUTFILE") and before.is_word("INTO"):
            raise denied("INTO OUTFILE is not open to readers: take the result from the answer")
        if token.is_word("IDENTIFIER") and before.text == ":":
            raise denied(
                "parameters of type Identifier are not open to readers: write the name into the query"
            )


def _value(token: Token | None) -> str:
    """The value of a setting as the engine understands it."""
    if token is not None and token.is_word("TRUE", "FALSE"):
        return "1" if token.is_word("TRUE") else "0"
    if token is None or token.kind not in ("number", "string"):
        raise denied("SETTINGS takes numbers and texts in quotes only")
    text = token.text[1:-1] if token.kind == "string" else token.text
    if token.kind == "string" and ("\\" in text or "'" in text):
        raise denied("quotes and backslashes in the value of a setting are refused")
    return text


def name_of(token: Token, *, small: bool = True) -> str:
    """The name that a word or a quoted text stands for; "" for anything else."""
    if token.kind in ("quoted", "string"):
        text = token.text[1:-1]
    else:
        text = token.text if token.kind == "word" else ""
    return text.lower() if small else text
