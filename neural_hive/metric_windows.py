"""Files of metric windows: YAML or JSON as people write them, or a JSON document a line (`.jsonl`) as programs do.

    service: checkout
    metric: latency_ms
    starts_at: 2026-05-04T13:00:00Z
    ends_at: 2026-05-04T13:01:00Z
    events: 100
    buckets: [{upto: 100, events: 80}, {upto: 250, events: 15}]

A document is a window or a list of windows. Times are ISO 8601, in UTC if they do not say otherwise, or µs since 1970.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from neural_hive.aggregates.metric_window import MetricWindow
from neural_hive.documents import BadDocument, DocumentPath, Placed, read_documents
from neural_hive.sdk.windows import ERRORS_MAX, WINDOWS_MAX, BadWindows, broken
from neural_hive.slo_files.fields import Problem, build

FILE_BYTES_MAX: Final = 32 * 1024 * 1024
VALUES_MAX: Final = 2_000_000
_TIMES: Final = ("starts_at", "ends_at")


def read_windows(text: str, name: str) -> list[MetricWindow]:
    """The windows of a file. Raises BadWindows, with all that is wrong in it."""
    windows: list[MetricWindow] = []
    errors: list[str] = []
    for first_line, part in _parts(text, name):
        try:
            documents = read_documents(part, FILE_BYTES_MAX, VALUES_MAX)
        except BadDocument as error:
            line = first_line - 1 + (error.place.line if error.place else 1)
            errors.append(f"{name}:{line}: {error}")
            continue
        for document in documents:
            for path, given in _each(document.value):
                problems: list[Problem] = []
                made = _window(given, path, problems)
                windows += [made] if made else []
                errors += [_told(name, first_line, document, *problem) for problem in problems]
    if not windows and not errors:
        errors.append(f"{name}: there is no window in it")
    if len(windows) > WINDOWS_MAX:
        errors.append(f"{name}: it has {len(windows):,} windows, more than {WINDOWS_MAX:,}: divide it")
    if errors:
        more = [f"and {len(errors) - ERRORS_MAX:,} more"] if len(errors) > ERRORS_MAX else []
        raise BadWindows(errors[:ERRORS_MAX] + more)
    return windows


def _parts(text: str, name: str) -> Iterator[tuple[int, str]]:
    """Texts that are read on their own, with the number of the line at which each begins."""
    if not name.endswith(".jsonl"):
        yield 1, text
        return
    yield from ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())


def _each(value: Any) -> Iterator[tuple[DocumentPath, Any]]:
    if isinstance(value, list):
        yield from (((number,), item) for number, item in enumerate(value))
    else:
        yield (), value


def _window(given: Any, path: DocumentPath, problems: list[Problem]) -> MetricWindow | None:
    if isinstance(given, dict):
        given = {name: _time(part) if name in _TIMES else part for name, part in given.items()}
    made: MetricWindow | None = build(MetricWindow, given, path, problems)
    if made is not None:
        problems += [(path, problem) for problem in broken(made)]
    return made


def _time(text: Any) -> Any:
    """µs, if it is a time; else what it was: who reads it says what is wrong."""
    try:
        at = datetime.fromisoformat(str(text)) if not str(text).isdecimal() else None
    except ValueError:
        return text
    if at is None:
        return text
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _told(name: str, first_line: int, document: Placed, path: DocumentPath, words: str) -> str:
    place = document.place(path)
    field = ".".join(str(part) for part in path)
    return ": ".join(
        part for part in (f"{name}:{first_line - 1 + place.line}:{place.column}", field, words) if part
    )
