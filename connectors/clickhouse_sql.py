"""Just enough of ClickHouse's SQL to serve it over HTTP: find a FORMAT clause, cut the data off an INSERT, and
point an INSERT at a file.

Statements are cut as bytes decoded with latin-1, so that positions in the text are positions in the body, and
binary data behind an INSERT is never read as text. The engine's own parser has the last word on everything.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*|\#[!\s][^\n]*|/\*.*?\*/)
    | (?P<string>'(?:[^'\\]|\\.|'')*')
    | (?P<quoted>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
    | (?P<heredoc>\$(?P<tag>[A-Za-z0-9_]*)\$.*?\$(?P=tag)\$)
    | (?P<word>[A-Za-z_\x80-\uffff][\w$\x80-\uffff]*)
    | (?P<number>\d[\w.]*)
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class SqlError(ValueError):
    """A statement that is refused before the engine sees it. `code` is ClickHouse's number for the reason."""

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.name = name


class Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int
    depth: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words


def tokens(sql: str, *, comments: bool = False) -> Iterator[Token]:
    """Tokens without white space, and without comments; lazily, so that data behind a statement is not read."""
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind = "heredoc" if match.group("heredoc") else match.lastgroup or "other"
        if kind == "space":
            if not comments or match.group().isspace():
                continue
            kind = "comment"
        if kind == "close":
            depth -= 1
        yield Token(kind, match.group(), match.start(), match.end(), depth)
        if kind == "open":
            depth += 1


def output_format(sql: str) -> str | None:
    """The name in the FORMAT clause that ends the statement, SETTINGS aside; None if there is none."""
    found: str | None = None
    last = [token for token in tokens(sql) if token.depth == 0]
    for before, token, after in zip(last, last[1:], [*last[2:], None], strict=False):
        ends = after is None or after.text == ";" or after.is_word("SETTINGS")
        if before.is_word("FORMAT") and token.kind in ("word", "quoted") and ends:
            found = token.text.strip('`"')
    return found


def first_word(sql: str) -> str:
    """The first keyword in capitals, "" if there is none; brackets before it are skipped."""
    for token in tokens(sql):
        if token.kind == "word":
            return token.text.upper()
        if token.kind != "open":
            break
    return ""


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT that takes its data from the request, where it begins at byte `data_at`; FORMAT is cut off.

    The head is split where the data must be named; `structure` is what input() was given.
    """

    before: str
    structure: str | None
    after: str
    format: str
    data_at: int

    @property
    def statement(self) -> str:
        """The INSERT as it was asked for, without data."""
        source = "" if self.structure is None else f"input({self.structure})"
        return f"{self.before}{source}{self.after} FORMAT {self.format}"

    def reading(self, path: str) -> str:
        """The same INSERT with its data in the file `path`."""
        if self.structure is None:
            return f"{self.before} FROM INFILE {_quote(path)} COMPRESSION 'none' {self.after} FORMAT {self.format}"
        return f"{self.before}file({_quote(path)}, '{self.format}', {self.structure}, 'none'){self.after}"


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class _InsertReader:
    """Walks over the tokens of an INSERT up to where its data begins."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._selects = False
        self._settings_at: int | None = None
        self._inputs: list[tuple[int, int, int]] = []
        self._opened: tuple[int, int, int] | None = None

    def read(self, formats: Collection[str]) -> Insert | None:
        before: Token | None = None
        for token in tokens(self._text):
            if before is None and not token.is_word("INSERT"):
                return None
            if before and before.is_word("FORMAT") and before.depth == 0 and token.text in formats:
                return self._cut(before.start, token.text, _data_start(self._text, token.end))
            if token.is_word("VALUES") and token.depth == 0 and not self._selects:
                return self._cut(token.start, "Values", token.end)
            self._note(before, token)
            before = token
        return None

    def _note(self, before: Token | None, token: Token) -> None:
        if token.depth == 0 and token.is_word("SELECT", "WITH"):
            self._selects = True
        elif token.depth == 0 and not self._selects and token.is_word("SETTINGS"):
            self._settings_at = token.start
        elif token.text == "(" and before and before.is_word("INPUT") and self._selects:
            self._opened = (before.start, token.end, token.depth)
        elif self._opened and token.text == ")" and token.depth == self._opened[2]:
            self._inputs.append((self._opened[0], self._opened[1], token.start))
            self._opened = None

    def _cut(self, end: int, name: str, data_at: int) -> Insert:
        if not self._selects:
            at = end if self._settings_at is None else self._settings_at
            return Insert(self._part(0, at), None, self._part(at, end), name, data_at)
        if len(self._inputs) != 1:
            raise SqlError(62, "SYNTAX_ERROR", "INSERT … SELECT … FORMAT must read input('structure') once")
        start, args, close = self._inputs[0]
        structure = self._part(args, close).strip()
        if not structure:
            raise SqlError(48, "NOT_IMPLEMENTED", "input() needs its structure here: input('name Type, …')")
        return Insert(self._part(0, start), structure, self._part(close + 1, end), name, data_at)

    def _part(self, start: int, end: int) -> str:
        return self._text[start:end].encode("latin-1").decode("utf-8")


def parse_insert(body: bytes, formats: Collection[str]) -> Insert | None:
    """How to take the data out of `body` = INSERT … FORMAT <one of formats> or VALUES, then data.

    None for anything else, an INSERT … SELECT that reads no data of the request included. `body` may be cut off
    somewhere in the data. Raises SqlError for what the embedded engine cannot do.
    """
    return _InsertReader(body.decode("latin-1")).read(formats)


def _data_start(text: str, at: int) -> int:
    """As the server does: skip blanks, then one line end at most."""
    while at < len(text) and text[at] in " \t\f":
        at += 1
    if text.startswith("\r", at):
        at += 1
    if text.startswith("\n", at):
        at += 1
    return at
