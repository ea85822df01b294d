"""SQL of a person: run as the user who only reads, as a table with names and types of its columns, or as a file."""

from typing import Any, Final

import msgspec

from neural_hive.connectors.sql_reader import SqlReader

ROWS_MAX: Final = 1_000  # shown; an export has what the engine's limits allow
EXPORT_BYTES_MAX: Final = 64 << 20


class Answer(msgspec.Struct, frozen=True):
    """A result as it is shown."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    is_cut: bool  # there are more rows
    elapsed_s: float

    def is_number(self, index: int) -> bool:
        """Whether a column can be drawn as a height."""
        return self.types[index].removeprefix("Nullable(").startswith(("UInt", "Int", "Float", "Decimal"))


class _Column(msgspec.Struct, frozen=True):
    name: str
    type: str


class _Statistics(msgspec.Struct, frozen=True):
    elapsed: float = 0.0


class _Table(msgspec.Struct, frozen=True):
    """ClickHouse's JSONCompact."""

    meta: list[_Column]
    data: list[list[Any]]
    statistics: _Statistics = _Statistics()


class Unanswered(ValueError):
    """What came is not a table."""


class TooLarge(ValueError):
    """An answer above EXPORT_BYTES_MAX."""


class Console:
    """Runs statements, each for a person: `key` is that of their quota, and the engine's limits hold for each."""

    def __init__(self, reader: SqlReader) -> None:
        self._reader = reader

    async def run(self, sql: str, key: str) -> Answer:
        """Raises ClickHouseError: what the engine or its gate says; TooLarge; Unanswered: it is no table."""
        body = await self.export(sql, "JSONCompact", key)
        try:
            found = msgspec.json.decode(body, type=_Table)
        except msgspec.DecodeError:
            raise Unanswered(
                "the answer is no table: leave out FORMAT, and ask one statement that reads"
            ) from None
        return Answer(
            tuple(column.name for column in found.meta),
            tuple(column.type for column in found.meta),
            tuple(tuple(row) for row in found.data[:ROWS_MAX]),
            len(found.data) > ROWS_MAX,
            found.statistics.elapsed,
        )

    async def export(self, sql: str, output_format: str, key: str) -> bytes:
        """The whole answer in one of ClickHouse's formats. Raises ClickHouseError, TooLarge."""
        body = bytearray()
        asking = self._reader.ask(cleaned(sql), output_format=output_format, on_behalf_of=key)
        async with asking as answer:
            async for piece in answer.pieces:
                body += piece
                if len(body) > EXPORT_BYTES_MAX:
                    raise TooLarge(
                        f"more than {EXPORT_BYTES_MAX >> 20} MB: add a LIMIT, or use `neural-hive query --format`"
                    )
        return bytes(body)


def cleaned(sql: str) -> str:
    """A statement without what people put behind it."""
    return sql.strip().rstrip(";").rstrip()
