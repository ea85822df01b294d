"""Prometheus' alert rules as SLOs: `groups: rules: alert, expr, labels, annotations`, and PrometheusRule objects.

Several alerts of one SLO, as those for its fast and its slow burn, become one. Recording rules of the same file say
what stands behind a name that an alert asks for.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import TEXT_CHARS_MAX, WINDOW_DAYS_MAX, Definition, Indicator
from neural_hive.documents import DocumentPath
from neural_hive.slo_files.alert_shapes import Promise, is_same, promise
from neural_hive.slo_files.naming import as_id, free_id, type_said
from neural_hive.slo_files.own import rules
from neural_hive.slo_files.promql import BadQuery, constant, equalities, parse, selectors
from neural_hive.slo_files.records import Record, Records
from neural_hive.slo_files.report import Notes, Outcome

RULES_MAX: Final = 5_000  # of one file
WINDOW_DAYS: Final = 30  # where no rule says one
_ID_LABELS: Final = ("sloth_id", "slo_id", "slo")
_NAME_LABELS: Final = ("sloth_slo", "slo_name", "slo")
_SERVICE_LABELS: Final = ("service", "service_name", "sloth_service", "app", "job")
_OF_ONE_ALERT: Final = ("severity", "sloth_severity", "long", "short", "exhaustion")
_USED: Final = frozenset((*_ID_LABELS, *_NAME_LABELS, "layer", "namespace", *_OF_ONE_ALERT))
_DAY_S: Final = 86_400
# Recorded by sloth and pyrra: how long an SLO's window is, under which label the SLO is named, and in which unit.
_WINDOWS: Final = (("slo:time_period:days", "sloth_id", 1), ("pyrra_window", "slo", _DAY_S))


class _Alert(msgspec.Struct):
    name: str
    group: str
    path: DocumentPath
    labels: dict[str, str]
    annotations: dict[str, str]
    asked: dict[str, str]  # which labels its expression asks for, and their values
    promise: Promise

    def label(self, names: tuple[str, ...]) -> str:
        """The first of the labels that the alert has, or that its expression asks for."""
        holders = (self.labels, self.asked)
        return next((held[name] for held in holders for name in names if held.get(name)), "")

    @property
    def subject(self) -> str:
        return f"alert {self.name}"


def is_rules(value: dict[str, Any]) -> bool:
    """Whether a document holds rules."""
    return _groups(value) is not None


def _groups(value: dict[str, Any]) -> tuple[DocumentPath, list[Any]] | None:
    spec = value.get("spec")
    places = (((), value), (("spec",), spec if isinstance(spec, dict) else {}))
    for path, holder in places:
        if isinstance(holder.get("groups"), list):
            return (*path, "groups"), holder["groups"]
    return None


def read_rules(value: dict[str, Any], notes: Notes, taken: set[str], limit: int) -> list[Definition]:
    """The SLOs that a document's alerts promise; at most `limit` rules are read."""
    records, waiting = Records(), []
    for number, (path, group, rule) in enumerate(_rules(value, notes)):
        if number >= limit:
            notes.add(Outcome.WRONG, "", f"more than {RULES_MAX:,} rules: divide the file", path)
            break
        if isinstance(rule.get("record"), str):
            records.add(rule["record"], Record(str(rule["expr"]), _texts(rule.get("labels"))))
            words = "a recording rule promises nothing; alerts of this file that ask for it are read with it"
            notes.add(Outcome.LEFT_OUT, f"record {rule['record'][:100]}", words, path)
        else:
            waiting.append((path, group, rule))
    alerts = [alert for found in waiting if (alert := _alert(*found, records, notes)) is not None]
    return [
        made
        for several in _together(alerts, notes)
        if (made := _definition(several, records, notes, taken)) is not None
    ]


def count_rules(value: dict[str, Any]) -> int:
    """How many rules a document holds."""
    found = _groups(value)
    groups = found[1] if found else []
    return sum(
        len(group["rules"]) for group in groups if isinstance(group, dict) and _is_list(group, "rules")
    )


def _is_list(group: dict[str, Any], name: str) -> bool:
    return isinstance(group.get(name), list)


def _rules(value: dict[str, Any], notes: Notes) -> Iterator[tuple[DocumentPath, str, dict[str, Any]]]:
    found = _groups(value)
    assert found is not None, "is_rules was asked"
    for number, group in enumerate(found[1]):
        path = (*found[0], number)
        if not isinstance(group, dict) or not _is_list(group, "rules"):
            notes.add(Outcome.WRONG, f"group {number + 1}", "a group must be a mapping with `rules`", path)
            continue
        name = str(group.get("name") or f"group-{number + 1}")
        for place, rule in enumerate(group["rules"]):
            at = (*path, "rules", place)
            kinds = [word for word in ("alert", "record") if isinstance(rule, dict) and rule.get(word)]
            if (
                len(kinds) != 1
                or not isinstance(rule[kinds[0]], str)
                or not isinstance(rule.get("expr"), str)
            ):
                words = "a rule must be a mapping with `alert` or `record`, and `expr`"
                notes.add(Outcome.WRONG, f"rule {place + 1} of group {name[:100]}", words, at)
            else:
                yield at, name, rule


def _texts(value: Any) -> dict[str, str]:
    """Labels or annotations; those that a template fills say nothing before an alert fires."""
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str) and "{{" not in text}


def _alert(
    path: DocumentPath, group: str, rule: dict[str, Any], records: Records, notes: Notes
) -> _Alert | None:
    name = rule["alert"]
    try:
        found = promise(rule["expr"], records)
    except BadQuery as error:
        notes.add(Outcome.NOT_UNDERSTOOD, f"alert {name[:100]}", str(error), (*path, "expr"))
        return None
    labels, annotations = _texts(rule.get("labels")), _texts(rule.get("annotations"))
    return _Alert(name[:TEXT_CHARS_MAX], group, path, labels, annotations, _asked(rule["expr"]), found)


def _together(alerts: list[_Alert], notes: Notes) -> list[list[_Alert]]:
    """The alerts of each SLO: those that name the same one, or that promise something of the same events."""
    found: dict[tuple[str, ...], list[_Alert]] = {}
    for alert in alerts:
        named, counted = alert.label(_ID_LABELS), alert.promise
        said = next((alert.labels[name] for name in _SERVICE_LABELS if alert.labels.get(name)), "")
        events = (counted.recorded,) if counted.recorded else (counted.good, counted.valid)
        key = ("named", said, named) if named else ("counted", alert.label(_SERVICE_LABELS), *events)
        several = found.setdefault(key, [])
        if several and not is_same(several[0].promise, counted):
            words = f"it names the SLO {named}, of which {several[0].subject} counts other events"
            notes.add(Outcome.NOT_UNDERSTOOD, alert.subject, words, alert.path)
        else:
            several.append(alert)
    return list(found.values())


def _definition(several: list[_Alert], records: Records, notes: Notes, taken: set[str]) -> Definition | None:
    first, assumed = several[0], []
    counted = min((alert.promise for alert in several), key=lambda one: one.recorded_over_s)
    target = max(alert.promise.target for alert in several)
    if any(alert.promise.target != target for alert in several):
        assumed.append(f"of the alerts' targets the strictest counts: {target}")
    service, said = _service(first)
    window, said_window = _window(first, records)
    assumed += [words for words in (said, said_window) if words]
    name = first.label(_NAME_LABELS) or first.name
    made = Definition(
        slo_id=_id(first.label(_ID_LABELS) or first.name, service, taken),
        name=name[:TEXT_CHARS_MAX],
        slo_type=type_said(name, first.name) or counted.slo_type,
        service_name=service[:TEXT_CHARS_MAX],
        target=target,
        indicator=Indicator(Source.PROMQL, good_promql=counted.good, valid_promql=counted.valid),
        window_days=window,
        layer=first.label(("layer",)),
        namespace=first.label(("namespace",)),
        description=_description(several),
        labels=_labels(several, service),
    )
    problems = rules(made)
    for _, words in problems:
        notes.add(Outcome.WRONG, first.subject, words, first.path)
    if problems:
        return None
    taken.add(made.slo_id)
    _tell(several, made, counted, assumed, notes)
    return made


def _id(name: str, service: str, taken: set[str]) -> str:
    wanted = as_id(name) or "slo"
    if wanted in taken:
        wanted = as_id(f"{service}-{wanted}") or wanted
    return free_id(wanted, taken)


def _tell(
    several: list[_Alert], made: Definition, counted: Promise, assumed: list[str], notes: Notes
) -> None:
    told: set[str] = set()
    for alert in several:
        words = f"SLO {made.slo_id}: {made.slo_type}, target {made.target}, service {made.service_name}"
        notes.add(Outcome.READ, alert.subject, words, alert.path, (made.slo_id,))
        own = alert.promise.assumed if alert.promise.good == counted.good else ()
        for text in (*(assumed if alert is several[0] else ()), *own):
            if text not in told:
                told.add(text)
                notes.add(Outcome.ASSUMED, alert.subject, text, alert.path, (made.slo_id,))


def _service(alert: _Alert) -> tuple[str, str]:
    """The service, and what was assumed for it."""
    if found := alert.label(_SERVICE_LABELS):
        return found, ""
    return alert.group, f"no label names the service: it is that of the group, {alert.group[:100]}"


def _asked(expr: str) -> dict[str, str]:
    """The labels that an expression asks for with one value, wherever it asks for them."""
    found: dict[str, set[str]] = {}
    for selector in selectors(parse(expr)):
        for label, value in equalities(selector).items():
            found.setdefault(label, set()).add(value)
    return {label: value for label, (value, *others) in found.items() if not others}


def _window(alert: _Alert, records: Records) -> tuple[int, str]:
    """The window in days, and what was assumed for it."""
    for name, label, unit in _WINDOWS:
        named = alert.label((label,))
        recorded = records.find(name, {label: named}) if named else None
        try:
            value = constant(parse(recorded)) if recorded is not None else None
        except BadQuery:
            value = None
        if value is not None and 1 <= value / unit <= WINDOW_DAYS_MAX:
            return round(value / unit), ""
    return WINDOW_DAYS, f"the rule names no window: it is {WINDOW_DAYS} days"


def _description(several: list[_Alert]) -> str:
    for name in ("description", "summary", "message"):
        for alert in several:
            if text := alert.annotations.get(name, "").strip():
                return text[:TEXT_CHARS_MAX]
    return ""


def _labels(several: list[_Alert], service: str) -> dict[str, str]:
    """What all alerts say, apart from what became a field; their severities together."""
    first = several[0]
    labels = {
        name: value
        for name, value in first.labels.items()
        if name not in _USED
        and not (name in _SERVICE_LABELS and value == service)
        and all(alert.labels.get(name) == value for alert in several)
    }
    severities = [found for alert in several if (found := alert.label(("severity", "sloth_severity")))]
    if severities:
        labels["severity"] = ",".join(dict.fromkeys(severities))
    if runbook := first.annotations.get("runbook_url"):
        labels["runbook_url"] = runbook
    return labels
