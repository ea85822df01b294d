"""What readers of the embedded engine may name: databases, tables of the engine, table functions, formats, settings."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from neural_hive.connectors.clickhouse_sql import SqlError
from neural_hive.connectors.reader_functions import functions, refusal


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


TABLE_FUNCTIONS: Final = words(
    """generaterandom generateseries generate_series null numbers numbers_mt primes sqlstandardvalues values view
    zeros zeros_mt"""
)
SYSTEM_TABLES: Final = words(
    """aggregate_function_combinators collations columns data_type_families databases formats functions keywords numbers
    numbers_mt one primes settings table_engines table_functions tables time_zones zeros zeros_mt"""
)
INFORMATION_SCHEMA: Final = "information_schema"
INFORMATION_TABLES: Final = words(
    "columns key_column_usage referential_constraints schemata statistics tables views"
)
# Not Template, CapnProto, Protobuf and CustomSeparated: they take files, or texts that stand for them.
FORMATS: Final = words(
    """TabSeparated TabSeparatedWithNames TabSeparatedWithNamesAndTypes
    TabSeparatedRaw TabSeparatedRawWithNames TabSeparatedRawWithNamesAndTypes
    TSV TSVWithNames TSVWithNamesAndTypes TSVRaw TSVRawWithNames TSVRawWithNamesAndTypes
    CSV CSVWithNames CSVWithNamesAndTypes TSKV Values Vertical XML Null
    JSON JSONStrings JSONColumns JSONColumnsWithMetadata JSONCompact JSONCompactStrings JSONCompactColumns
    JSONEachRow JSONLines NDJSON JSONL PrettyJSONEachRow JSONStringsEachRow JSONObjectEachRow
    JSONCompactEachRow JSONCompactEachRowWithNames JSONCompactEachRowWithNamesAndTypes
    JSONCompactStringsEachRow JSONCompactStringsEachRowWithNames JSONCompactStringsEachRowWithNamesAndTypes
    Pretty PrettyNoEscapes PrettyMonoBlock PrettyNoEscapesMonoBlock
    PrettyCompact PrettyCompactMonoBlock PrettyCompactNoEscapes PrettyCompactNoEscapesMonoBlock
    PrettySpace PrettySpaceNoEscapes PrettySpaceMonoBlock PrettySpaceNoEscapesMonoBlock
    Markdown MD SQLInsert LineAsString RawBLOB MsgPack BSONEachRow Npy
    Native RowBinary RowBinaryWithNames RowBinaryWithNamesAndTypes Parquet Arrow ArrowStream ORC Avro"""
)
# Readers may ask for less than they have.
_LOWERED: Final = words(
    """max_block_size max_bytes_to_read max_execution_time max_memory_usage max_result_bytes max_result_rows
    max_rows_to_read max_threads"""
)
# How an answer looks, and what an expression means.
_FREE: Final = re.compile(
    r"""
      output_format_(?!schema)\w+ | format_(?!schema|template|custom)\w+ | date_time_(in|out)put_format
    | (aggregate_functions_null_for_empty | allow_suspicious_types_in_(group|order)_by | cast_keep_nullable
    | cancel_http_readonly_queries_on_client_close | enable_http_compression | extremes | final
    | group_by_use_nulls | http_headers_progress_interval_ms | http_zlib_compression_level | join_use_nulls
    | limit | offset | prefer_column_name_to_alias | (read|result)_overflow_mode | send_progress_in_http_headers
    | session_timezone | short_circuit_function_evaluation | (union|except|intersect)_default_mode
    | transform_null_in | use_variant_as_common_type)
    """,
    re.VERBOSE,
)
_NEVER: Final = re.compile(r"schema|template|path|file|url|directory|secret")


@dataclass(frozen=True, slots=True)
class Rules:
    """The lists, for one engine.

    `views` gives the views of the database, by name, and `added` the functions that somebody has added to the engine.
    """

    database: str
    table_functions: Collection[str]
    data_types: Collection[str]
    views: Callable[[], Collection[str]] = field(default=tuple)
    added: Callable[[], Collection[str]] = field(default=tuple)

    def check_call(self, name: str, own: Collection[str]) -> None:
        """Raises SqlError for a function that readers may not call; `own` are names that the statement gives."""
        small = name.lower()
        if not (self._is_open(small) or (small in own and not self._is_known(small))):
            raise denied(f"the function {name} is not open to readers")

    def check_table_function(self, name: str) -> None:
        """Raises SqlError for a table function that is not in the list and no view of the database."""
        small = name.lower()
        if small in TABLE_FUNCTIONS:
            return
        view = name.partition(".")[2] if name.startswith(f"{self.database}.") else name
        if small in self.table_functions or view not in self.views():
            raise denied(f"the table function {name} is not open to readers")

    def check_table(self, database: str, table: str) -> None:
        """Raises SqlError unless the table is the database's, or one of the engine's that are in the list."""
        small = database.lower()
        if small in ("", self.database.lower()):
            return
        lists = {"system": SYSTEM_TABLES, INFORMATION_SCHEMA: INFORMATION_TABLES}
        if small not in lists:
            raise denied(
                f"the database '{database}' is not open to readers: use '{self.database}', the database of the system"
            )
        if table.lower() not in lists[small]:
            raise denied(f"the table {database}.{table} is not open to readers")

    def check_name(self, path: str) -> None:
        """Raises SqlError for a dotted name that could be a table outside the lists."""
        first, dot, rest = path.partition(".")
        if dot and first.lower() in ("system", INFORMATION_SCHEMA, "default"):
            self.check_table(first, rest.partition(".")[0])

    def _is_open(self, small: str) -> bool:
        known = functions()
        if small in known.all or small in _GRAMMAR:
            return True
        return any(
            small.startswith(base) and _COMBINED.fullmatch(small[len(base) :]) for base in known.aggregates
        )

    def _is_known(self, small: str) -> bool:
        return refusal(small) is not None or small in self.table_functions or small in self.added()


# Read by the parser, and no functions of the engine.
_GRAMMAR: Final = words(
    """countdistinct date_add date_sub dateadd datesub exists lambda timestamp_add timestamp_sub timestampadd
    timestampsub untuple"""
)
_COMBINED: Final = re.compile(
    r"(simplestate|ordefault|distinct|resample|foreach|argmax|argmin|ornull|tuple|merge|state|array|null|map|if)+"
)


def check_settings(asked: Mapping[str, str], limits: Mapping[str, str]) -> None:
    """Raises SqlError (164, READONLY) for a setting that readers may not choose, or more than they have."""
    for name, value in asked.items():
        if name in _LOWERED:
            highest = float(limits.get(name, "inf"))
            if not re.fullmatch(r"\d{1,18}", value) or not 0 < int(value) <= highest:
                raise SqlError(
                    164, "READONLY", f"{name} may be from 1 to {limits.get(name, 'any number')} for readers"
                )
        elif (name, value) == ("readonly", "1"):
            continue  # as it is
        elif _NEVER.search(name) or not _FREE.fullmatch(name):
            raise SqlError(164, "READONLY", f"Cannot modify '{name}' setting in readonly mode")


def check_format(name: str) -> None:
    """Raises SqlError (73, UNKNOWN_FORMAT) for an output format that is not in the list."""
    if name not in FORMATS:
        raise SqlError(73, "UNKNOWN_FORMAT", f"Unknown format {name}, or one that is not open to readers")


def denied(reason: str) -> SqlError:
    """The refusal of something that readers may not do."""
    return SqlError(497, "ACCESS_DENIED", reason)
