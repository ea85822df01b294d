"""What OpenSLO v1 and we call things: kinds, durations, and the annotations that hold what OpenSLO has no field for.

https://github.com/OpenSLO/OpenSLO
"""

import hashlib
import math
import re
from typing import Any, Final

import msgspec

from neural_hive.aggregates.sla_window import WindowKind
from neural_hive.documents import DocumentPath
from neural_hive.slo_files.report import Notes, Outcome

API_VERSION: Final = "openslo/v1"
ALERT_KINDS: Final = ("AlertPolicy", "AlertCondition", "AlertNotificationTarget")
KINDS: Final = ("Service", "SLO", "SLI", "DataSource", *ALERT_KINDS)
SOURCE_TYPE: Final = "neural-hive"  # of a metricSource: our own event streams

PREFIX: Final = "neural-hive.io/"
ID_NOTE: Final = PREFIX + "slo-id"  # each where OpenSLO's own field cannot say it
SERVICE_NOTE: Final = PREFIX + "service"
TYPE_NOTE: Final = PREFIX + "slo-type"
LAYER_NOTE: Final = PREFIX + "layer"
NAMESPACE_NOTE: Final = PREFIX + "namespace"
ENABLED_NOTE: Final = PREFIX + "enabled"
METRIC_NOTE: Final = PREFIX + "metric-name"
TARGET_NOTE: Final = PREFIX + "target"  # of a composite SLO: OpenSLO has those of its parts only
PARTS_NOTE: Final = PREFIX + "parts"  # ids, in the order of the objectives

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123, as OpenSLO's names
_DURATION: Final = re.compile(r"([1-9]\d{0,5})([mhdDwWMQqY])")
_CALENDAR: Final = {
    "1d": WindowKind.DAY,
    "1w": WindowKind.WEEK,
    "1M": WindowKind.MONTH,
    "1Q": WindowKind.QUARTER,
    "3M": WindowKind.QUARTER,
}
_ROLLING_DAYS: Final = {"d": 1, "w": 7, "M": 30, "Q": 90}


class Unclear(Exception):
    """Nothing can be made of an object: what stands at a path is wrong, or is not understood."""

    def __init__(self, outcome: Outcome, path: DocumentPath, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.path = path


def wrong(path: DocumentPath, text: str) -> Unclear:
    """It breaks OpenSLO's rules."""
    return Unclear(Outcome.WRONG, path, text)


def strange(path: DocumentPath, text: str) -> Unclear:
    """It may be right, and we make nothing of it."""
    return Unclear(Outcome.NOT_UNDERSTOOD, path, text)


class Object(msgspec.Struct):
    """One document of OpenSLO."""

    kind: str
    name: str
    display_name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any]
    notes: Notes

    @property
    def subject(self) -> str:
        return f"{self.kind} {self.name}"

    def add(
        self, outcome: Outcome, text: str, path: DocumentPath = (), slo_ids: tuple[str, ...] = ()
    ) -> None:
        """Something became of it."""
        self.notes.add(outcome, self.subject, text, path, slo_ids)


def object_of(value: dict[str, Any], notes: Notes) -> Object:
    """Raises Unclear."""
    kind = value.get("kind")
    if kind not in KINDS:
        raise strange(("kind",), f"must be one of {', '.join(KINDS)}, not {str(kind)[:80]!r}")
    metadata, spec = value.get("metadata"), value.get("spec")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str):
        raise wrong(("metadata",), "must be a mapping with `name`")
    if not isinstance(spec, dict):
        raise wrong(("spec",), "must be a mapping")
    return Object(
        kind,
        name,
        text_of(metadata, "displayName", ("metadata",)),
        _labels(metadata.get("labels"), ("metadata", "labels")),
        _labels(metadata.get("annotations"), ("metadata", "annotations")),
        spec,
        notes,
    )


def _labels(value: Any, path: DocumentPath) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(path, "must be a mapping of texts")
    found = {}
    for name, given in value.items():
        values = given if isinstance(given, list) else [given]
        if not all(isinstance(item, str) for item in values):
            raise wrong((*path, name), "must be a text or a list of texts")
        found[name] = ",".join(values)
    return found


def text_of(holder: dict[str, Any], name: str, path: DocumentPath) -> str:
    """A text, or an empty one if there is none. Raises Unclear."""
    value = holder.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong((*path, name), "must be a text")
    return value


def number_of(holder: dict[str, Any], name: str, path: DocumentPath) -> float | None:
    """A number, or None if there is none. Raises Unclear."""
    value = holder.get(name)
    if value is None:
        return None
    try:
        found = msgspec.convert(value, float, strict=False)
    except msgspec.ValidationError:
        found = math.nan
    if not math.isfinite(found):
        raise wrong((*path, name), f"must be a number, not {str(value)[:80]!r}")
    return found


def mapping_of(holder: dict[str, Any], name: str, path: DocumentPath) -> dict[str, Any]:
    """A mapping, or an empty one if there is none. Raises Unclear."""
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong((*path, name), "must be a mapping")
    return value


def window_of(spec: dict[str, Any], assumed: list[str]) -> tuple[WindowKind, int]:
    """The window's kind, and its days if it rolls. Raises Unclear."""
    path: DocumentPath = ("spec", "timeWindow")
    given = spec.get("timeWindow")
    if given is None:
        assumed.append("it has no timeWindow: it is the last 30 days")
        return WindowKind.ROLLING, 30
    if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
        raise wrong(path, "must be a list of exactly one window")
    window, path = given[0], (*path, 0)
    duration = text_of(window, "duration", path)
    if not _DURATION.fullmatch(duration):
        raise wrong(
            (*path, "duration"), f"must be a number with m, h, d, w, M, Q or Y, not {duration[:40]!r}"
        )
    calendar = mapping_of(window, "calendar", path)
    is_rolling = window.get("isRolling")
    if is_rolling not in (None, "true", "false"):
        raise wrong((*path, "isRolling"), "must be true or false")
    if calendar and is_rolling == "true":
        raise wrong(
            path, "a window rolls, or follows the calendar: leave out `calendar`, or set isRolling: false"
        )
    if calendar or is_rolling == "false":
        return _calendar(duration, calendar, path, assumed), 30
    return WindowKind.ROLLING, _days(duration, (*path, "duration"), assumed)


def _calendar(duration: str, calendar: dict[str, Any], path: DocumentPath, assumed: list[str]) -> WindowKind:
    count, unit = duration[:-1], duration[-1]
    kind = _CALENDAR.get(count + {"D": "d", "W": "w", "q": "Q"}.get(unit, unit))
    if kind is None:
        known = ", ".join(_CALENDAR)
        raise strange(
            (*path, "duration"), f"calendar windows here are {known}, and {duration} is none of them"
        )
    zone = text_of(calendar, "timeZone", path)
    if zone not in ("", "UTC", "Etc/UTC", "GMT"):
        assumed.append(f"calendar windows are those of UTC here, and not of {zone[:80]}")
    return kind


def _days(duration: str, path: DocumentPath, assumed: list[str]) -> int:
    count, unit = int(duration[:-1]), {"D": "d", "W": "w", "q": "Q"}.get(duration[-1], duration[-1])
    if unit == "h" and count % 24 == 0:
        return count // 24
    if unit not in _ROLLING_DAYS:
        raise strange(path, f"a rolling window has whole days here, and {duration} has none: write 1d to 90d")
    if unit in "MQ":
        assumed.append(f"a rolling window of {duration} is {count * _ROLLING_DAYS[unit]} days")
    return count * _ROLLING_DAYS[unit]


def window_document(kind: WindowKind, days: int) -> dict[str, Any]:
    """The window as OpenSLO has it."""
    if kind is WindowKind.ROLLING:
        return {"duration": f"{days}d", "isRolling": True}
    duration = next(duration for duration, found in _CALENDAR.items() if found is kind)
    start = "2024-01-01 00:00:00"  # a Monday that begins a quarter
    return {"duration": duration, "calendar": {"startTime": start, "timeZone": "UTC"}, "isRolling": False}


def as_name(text: str) -> str:
    """A name of OpenSLO's; one that had to be changed ends with a hash, so that two stay two."""
    if _NAME.fullmatch(text):
        return text
    cleaned = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:50].strip("-")
    return "-".join(part for part in (cleaned, hashlib.sha256(text.encode()).hexdigest()[:8]) if part)
