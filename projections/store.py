"""What the sink needs of a ClickHouse server, and the errors that it tells apart."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from neural_hive.connectors.disk import says_full


class Rows(Protocol):
    """Somebody who answers queries."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        ...


class Store(Rows, Protocol):
    """A ClickHouse server: the embedded engine or a real one. `rows` raises StoreUnavailable, StoreRefused."""

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        """A statement without a result. Raises StoreUnavailable, StoreRefused."""
        ...

    def insert(self, sql: str, body: Sequence[bytes], settings: Mapping[str, Any]) -> None:
        """An INSERT with its data, in pieces. Raises StoreUnavailable, StoreRefused."""
        ...


class StoreUnavailable(ConnectionError):
    """The server did not answer; whether the statement took effect is not known."""


class StoreRefused(RuntimeError):
    """The server answered with an error: the statement had no effect."""

    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text
        super().__init__(text)

    @property
    def is_about_data(self) -> bool:
        """Whether the bytes sent were the reason, not the server's condition."""
        return self.code in _DATA_CODES and not self.is_about_files and not says_full(self)

    @property
    def is_about_files(self) -> bool:
        """Whether files of a table may be damaged."""
        return self.code in _ONLY_FILES or (self.code in FILE_CODES and _READING_PART in self.text)


_READING_PART: Final = "while reading from part"
_ONLY_FILES: Final = frozenset(
    (
        40,  # CHECKSUM_DOESNT_MATCH
        226,  # NO_FILE_IN_DATA_PART
        228,  # BAD_SIZE_OF_FILE_IN_DATA_PART
        246,  # CORRUPTED_DATA
    )
)
FILE_CODES: Final = _ONLY_FILES | {
    6,  # CANNOT_PARSE_TEXT
    27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
    32,  # ATTEMPT_TO_READ_AFTER_EOF
    33,  # CANNOT_READ_ALL_DATA
    107,  # FILE_DOESNT_EXIST
    117,  # INCORRECT_DATA
    271,  # CANNOT_DECOMPRESS
    432,  # UNKNOWN_CODEC
}
"""What an error about a part of a table can have as its code; some of them are about data sent, too."""

_DATA_CODES: Final = frozenset(
    (
        6,  # CANNOT_PARSE_TEXT
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        32,  # ATTEMPT_TO_READ_AFTER_EOF
        33,  # CANNOT_READ_ALL_DATA
        36,  # BAD_ARGUMENTS
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        173,  # CANNOT_ALLOCATE_MEMORY
        190,  # SIZES_OF_ARRAYS_DONT_MATCH
        395,  # FUNCTION_THROW_IF_VALUE_IS_NON_ZERO: the guard
        407,  # DECIMAL_OVERFLOW
        691,  # UNKNOWN_ELEMENT_OF_ENUM
        748,  # AVRO_EXCEPTION
        1001,  # STD_EXCEPTION
        1002,  # UNKNOWN_EXCEPTION: the text of an error that quotes the data may not be text
    )
)
