"""SQL of a person: run as the user who only reads, as a table with names and types of its columns, or as a file."""

from typing import Any, Final

import msgspec

from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.sdk.tables import client_as
from neural_hive.settings import Settings

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


class Unanswered(ValueError):
    """What came is not a table."""


class TooLarge(ValueError):
    """An export above EXPORT_BYTES_MAX."""


class Console:
    """Runs statements. Blocking; each has a connection of its own, so that a slow one holds up no other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self, sql: str) -> Answer:
        """Raises ClickHouseError: what the engine or its gate says; Unanswered: it is no table."""
        with self._client() as client:
            body = client.raw(cleaned(sql), None, "JSONCompact")
        try:
            found = msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise Unanswered(
                "the answer is no table: leave out FORMAT, and ask one statement that reads"
            ) from None
        rows = tuple(tuple(row) for row in found["data"][:ROWS_MAX])
        meta = found["meta"]
        return Answer(
            tuple(str(column["name"]) for column in meta),
            tuple(str(column["type"]) for column in meta),
            rows,
            len(found["data"]) > ROWS_MAX,
            float(found.get("statistics", {}).get("elapsed", 0.0)),
        )

    def export(self, sql: str, output_format: str) -> bytes:
        """The whole answer in one of ClickHouse's formats. Raises ClickHouseError, TooLarge."""
        pieces, size_bytes = list[bytes](), 0
        with self._client() as client, client.raw_stream(cleaned(sql), None, output_format) as stream:
            for piece in stream:
                size_bytes += len(piece)
                if size_bytes > EXPORT_BYTES_MAX:
                    raise TooLarge(
                        f"more than {EXPORT_BYTES_MAX >> 20} MB: add a LIMIT, or use `neural-hive query --format`"
                    )
                pieces.append(piece)
        return b"".join(pieces)

    def _client(self) -> ClickHouse:
        user = self._settings.clickhouse_api_user  # never our own: it may do everything
        return client_as(self._settings, user, timeout_s=60, retry_s=0)


def cleaned(sql: str) -> str:
    """A statement without what people put behind it."""
    return sql.strip().rstrip(";").rstrip()
