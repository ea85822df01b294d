"""One connection to the embedded engine: statements, streams, settings, and the engine's errors."""

import re
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

READER_ROLE = "reader"
_CODE = re.compile(r"Code: (\d+)\. ")
_REPEATED = re.compile(r"^(?:[\w ]+: )?(?:Code: \d+\. DB::Exception: )*(?=Code: \d+\. DB::Exception: )")
_VERSION = re.compile(r" \(version [\d.]+[^)]*\)")


class EngineError(Exception):
    """What the engine or this server refused: ClickHouse's code, and the text without the version."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def of(cls, error: BaseException) -> "EngineError":
        text = str(error).removeprefix("Streaming query failed: ")
        # An error inside a pipeline arrives wrapped once more: the inner one is the server's text.
        text = _VERSION.sub("", _REPEATED.sub("", text))
        text = re.sub(r"(\([A-Z_0-9]+\))(?:\. \([A-Z_0-9]+\))+$", r"\1", text)
        code = _CODE.search(text)
        return cls(int(code.group(1)) if code else 1001, text)

    @classmethod
    def own(cls, code: int, name: str, reason: str) -> "EngineError":
        return cls(code, f"Code: {code}. DB::Exception: {reason}. ({name})")


class Result(msgspec.Struct, frozen=True):
    """A finished statement: the formatted answer and the engine's counts."""

    body: bytes
    read_rows: int
    read_bytes: int
    written_rows: int
    written_bytes: int
    result_rows: int

    @classmethod
    def of(cls, answer: Any) -> "Result":
        return cls(
            body=answer.bytes(),
            read_rows=answer.storage_rows_read(),
            read_bytes=answer.storage_bytes_read(),
            written_rows=answer.rows_written(),
            written_bytes=answer.bytes_written(),
            result_rows=answer.rows_read(),
        )

    @classmethod
    def joined(cls, chunks: Sequence["Result"]) -> "Result":
        """The whole answer of which these are the chunks; the counts of reading run on from chunk to chunk."""
        return cls(
            body=b"".join(chunk.body for chunk in chunks),
            read_rows=max((chunk.read_rows for chunk in chunks), default=0),
            read_bytes=max((chunk.read_bytes for chunk in chunks), default=0),
            written_rows=0,
            written_bytes=0,
            result_rows=sum(chunk.result_rows for chunk in chunks),
        )


class Connection:
    """One connection to the engine; statements on it run one after the other."""

    def __init__(self, chdb_connection: Any) -> None:
        # Kept: chdb closes the connection when its own object is collected, and a closed one hangs.
        self._owner = chdb_connection
        # The one way to the engine's own reading of a statement, which chdb's object does not pass on.
        self._raw = chdb_connection._conn
        self._lasting: dict[str, str] = {}
        self._error: type[Exception] = sys.modules["chdb"].ChdbError

    def run(self, sql: str, output_format: str, params: Mapping[str, str]) -> Result:
        try:
            return Result.of(self._raw.query(sql, output_format, params=dict(params)))
        except RuntimeError as error:
            raise EngineError.of(error) from None

    def stream(
        self, sql: str, output_format: str, params: Mapping[str, str]
    ) -> Generator[Result, None, None]:
        """Chunks of the answer as the engine makes them; only right for formats without head and tail."""
        try:
            with self._owner.send_query(sql, output_format, params=dict(params)) as chunks:
                for chunk in chunks:
                    yield Result.of(chunk)
        except (RuntimeError, self._error) as error:
            raise EngineError.of(error) from None

    def statement_class(self, sql: str) -> tuple[str, int]:
        """The engine's own reading of a text: READ_ONLY, MUTATING, CONTROL, …, UNKNOWN; and how many statements."""
        found = self._raw.classify_query(sql)
        return found["query_class"].name, int(found["statement_count"])

    def set(self, settings: Mapping[str, str]) -> None:
        bad = next((name for name in settings if not re.fullmatch(r"[a-zA-Z_][a-zA-Z_0-9]*", name)), None)
        if bad is not None:
            raise EngineError.own(115, "UNKNOWN_SETTING", f"Unknown setting '{bad}'")
        if settings:
            self.run(
                "SET " + ", ".join(f"{name} = {quote(value)}" for name, value in settings.items()), "TSV", {}
            )

    def lines(self, sql: str, params: Mapping[str, str]) -> list[str]:
        """The texts of a result with one column."""
        rows = self.run(sql, "JSONCompactEachRow", params).body.splitlines()
        return [msgspec.json.decode(row, type=tuple[str])[0] for row in rows]

    def become_reader(self, database: str, settings: Mapping[str, str]) -> None:
        """Gives up all rights but those of a reader, with these settings and no others, for good."""
        self.use(database)
        self.set(settings)
        self.run(f"SET ROLE {READER_ROLE}", "TSV", {})
        self.set({"readonly": "1"})

    def use(self, database: str) -> None:
        self.run("USE `" + database.replace("\\", "\\\\").replace("`", "\\`") + "`", "TSV", {})

    @contextmanager
    def settings(self, settings: Mapping[str, str]) -> Iterator[None]:
        """Settings for one statement on a connection that lives on."""
        unknown = [name for name in settings if name not in self._lasting]
        if unknown:
            names = ", ".join(quote(name) for name in unknown)
            sql = f"SELECT name, value FROM system.settings WHERE name IN ({names})"
            rows = self.run(sql, "JSONCompactEachRow", {}).body.splitlines()
            self._lasting.update(msgspec.json.decode(row, type=tuple[str, str]) for row in rows)
        before = {name: self._lasting[name] for name in settings if name in self._lasting}
        self.set(settings)
        try:
            yield
        finally:
            self.set(before)

    def forget_settings(self) -> None:
        """To be called when a statement may change the connection's lasting settings."""
        self._lasting.clear()

    def close(self) -> None:
        self._owner.close()


def quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
