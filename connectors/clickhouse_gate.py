"""What a reader of the embedded engine may run."""

from collections.abc import Collection

from neural_hive.connectors.clickhouse_sql import SqlError, Token, first_word, tokens

_READERS_TABLE_FUNCTIONS = frozenset(
    [
        "format",
        "generaterandom",
        "generateseries",
        "generate_series",
        "null",
        "numbers",
        "numbers_mt",
        "primes",
        "sqlstandardvalues",
        "values",
        "view",
        "zeros",
        "zeros_mt",
    ]
)
_REFUSED_FUNCTIONS = frozenset({"file", "catboostevaluate"})
# The engine reads these as quotes and as a comment; other readers of SQL, ours included, do not.
_LOOKALIKES = frozenset("\u2018\u2019\u201c\u201d\u2212")
_REFUSED_STATEMENTS = frozenset(
    {"CHECK", "WATCH", "KILL", "BACKUP", "SYSTEM", "SET", "USE", "DETACH", "ATTACH"}
)


class ReaderGate:
    """Lets one reading statement through and refuses, by default, every table function that is not listed.

    On the embedded engine the database `default` also shows the machine's files as tables, so readers may not name
    it. Not a sandbox: it does not protect from a query that exhausts memory or finds a fault of the engine, which
    takes the process down, nor from a reader who reads a system table that says more than he should know.
    """

    def __init__(self, table_functions: Collection[str]) -> None:
        names = {name.lower() for name in table_functions} | {"python"}
        self._refused = (names - _READERS_TABLE_FUNCTIONS) | _REFUSED_FUNCTIONS

    def check(self, sql: str) -> None:
        """Raises SqlError (497, ACCESS_DENIED) for what a reader may not run."""
        if first_word(sql) in _REFUSED_STATEMENTS:
            raise _denied(f"{first_word(sql)} is not for readers")
        if _LOOKALIKES & set(sql):
            raise _denied(
                "typographic quotes and minus signs are refused: use plain ones, or a parameter {x:String}"
            )
        before: Token | None = None
        for token in tokens(sql):
            if token.kind == "heredoc":
                raise _denied("$…$ strings are not open to readers: use plain quotes")
            self._check_pair(before, token)
            before = token

    def _check_pair(self, before: Token | None, token: Token) -> None:
        name = _name(token)
        if name == "default" and token.kind != "string":
            raise _denied("the database 'default' is not open to readers: use the database of the system")
        if before is None:
            return
        if token.text == "." and _name(before) == "default":
            raise _denied("the database 'default' is not open to readers: use the database of the system")
        if token.text == "(" and before.kind != "string" and _name(before) in self._refused:
            raise _denied(f"the function {_name(before)} is not open to readers")
        if token.is_word("OUTFILE") and before.is_word("INTO"):
            raise _denied("INTO OUTFILE is not open to readers: take the result from the answer")
        if token.is_word("IDENTIFIER") and before.text == ":":
            raise _denied(
                "parameters of type Identifier are not open to readers: write the name into the query"
            )


def _name(token: Token) -> str:
    if token.kind in ("quoted", "string"):
        return token.text[1:-1].replace("\\", "").lower()
    return token.text.lower() if token.kind == "word" else ""


def _denied(reason: str) -> SqlError:
    return SqlError(497, "ACCESS_DENIED", reason)
