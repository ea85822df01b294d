"""OpenSLO's SLIs as indicators: ratioMetric and thresholdMetric, of Prometheus or of our own event streams."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import promql_parser as ql

from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Indicator
from neural_hive.documents import DocumentPath
from neural_hive.slo_files.openslo import SOURCE_TYPE, Object, mapping_of, number_of, strange, text_of, wrong
from neural_hive.slo_files.promql import WINDOW, BadQuery, Writing, parse, selectors, total
from neural_hive.slo_files.shares import SAMPLE_EVENTS

# What others write where the time goes: sloth, Grafana, templates.
_PLACEHOLDERS: Final = re.compile(
    r"\{\{\s*\.?window\s*\}\}|\$__range|\$__rate_interval|\$__interval|\[\[window\]\]"
)
_OPERATORS: Final = {"lte": "<=", "gte": ">=", "lt": "<", "gt": ">"}
_STEP: Final = "1m"  # how often a query is asked whose values are samples
_EVENT_SOURCES: Final = (Source.TICKETS, Source.WORKFLOWS, Source.TELEMETRY)
_METRIC_FIELDS: Final = ("good", "bad", "total", "raw")


class Metric(msgspec.Struct, frozen=True):
    """A metricSource: its type in small letters, and its spec."""

    type: str
    spec: dict[str, Any]
    path: DocumentPath


class Threshold(msgspec.Struct, frozen=True):
    """Which values of a thresholdMetric are good."""

    sign: str
    value: float


def threshold_of(objective: dict[str, Any], path: DocumentPath) -> Threshold | None:
    """The objective's threshold; None: it has none. Raises Unclear."""
    name, value = text_of(objective, "op", path), number_of(objective, "value", path)
    if not name and value is None:
        return None
    if name not in _OPERATORS:
        raise wrong((*path, "op"), f"must be lte, gte, lt or gt, not {name[:40]!r}")
    if value is None:
        raise wrong((*path, "value"), "is missing")
    return Threshold(_OPERATORS[name], value)


def indicator_of(
    spec: dict[str, Any],
    path: DocumentPath,
    threshold: Threshold | None,
    sources: Mapping[str, Object],
    assumed: list[str],
) -> Indicator:
    """The indicator that an SLI's spec describes. Raises Unclear."""
    ratio, limit = mapping_of(spec, "ratioMetric", path), mapping_of(spec, "thresholdMetric", path)
    if bool(ratio) == bool(limit):
        raise wrong(path, "must have either ratioMetric or thresholdMetric")
    if limit:
        if threshold is None:
            raise wrong((*path, "thresholdMetric"), "its objective must have `op` and `value`")
        metric = _metric(limit, (*path, "thresholdMetric"), sources)
        return _sampled(_query(metric), metric.path, f"{threshold.sign} bool {threshold.value!r}", assumed)
    return _ratio(ratio, (*path, "ratioMetric"), sources, assumed)


def _ratio(
    ratio: dict[str, Any], path: DocumentPath, sources: Mapping[str, Object], assumed: list[str]
) -> Indicator:
    metrics = {
        name: _metric(mapping_of(ratio, name, path), (*path, name), sources)
        for name in _METRIC_FIELDS
        if ratio.get(name) is not None
    }
    if set(metrics) == {"raw"}:
        return _raw(metrics["raw"], text_of(ratio, "rawType", path), path, assumed)
    if set(metrics) not in ({"good", "total"}, {"bad", "total"}):
        raise wrong(path, "must have total with good, or total with bad, or raw alone")
    types = {metric.type for metric in metrics.values()}
    if types == {SOURCE_TYPE}:
        return _events(metrics, path)
    if types != {"prometheus"}:
        known = f"Prometheus and {SOURCE_TYPE}"
        raise strange(path, f"a metricSource of type {', '.join(sorted(types))}: there are {known}")
    counter = text_of(ratio, "counter", path)
    if counter not in ("", "true", "false"):
        raise wrong((*path, "counter"), "must be true or false")
    whole = _counted(metrics["total"], counter, assumed)
    if "good" in metrics:
        return _of_promql(_counted(metrics["good"], counter, assumed), whole)
    return _of_promql(f"{whole} - ({_counted(metrics['bad'], counter, assumed)} or vector(0))", whole)


def _of_promql(good: str, valid: str) -> Indicator:
    return Indicator(Source.PROMQL, good_promql=good, valid_promql=valid)


def _metric(holder: dict[str, Any], path: DocumentPath, sources: Mapping[str, Object]) -> Metric:
    source, path = mapping_of(holder, "metricSource", path), (*path, "metricSource")
    if not source:
        raise wrong(path, "must be a mapping with `type` or `metricSourceRef`, and `spec`")
    found, named = text_of(source, "type", path), text_of(source, "metricSourceRef", path)
    if not found and named not in sources:
        raise strange(
            (*path, "metricSourceRef"), f"there is no DataSource {named[:80]!r} in this file: write `type`"
        )
    found = found or text_of(sources[named].spec, "type", path)
    return Metric(found.lower(), mapping_of(source, "spec", path), (*path, "spec"))


def _query(metric: Metric) -> str:
    if metric.type != "prometheus":
        raise strange(metric.path, f"a metricSource of type {metric.type[:80]}: there is Prometheus here")
    for name in ("query", "promql"):
        if found := text_of(metric.spec, name, metric.path):
            return found
    raise wrong((*metric.path, "query"), "is missing")


def _counted(metric: Metric, counter: str, assumed: list[str]) -> str:
    """A query of events over $window; one that says $window is taken as it is."""
    query = _query(metric)
    if WINDOW in query:
        return query
    try:
        tree = parse(_PLACEHOLDERS.sub("5m", query))
        if not selectors(tree):
            raise BadQuery("it asks for no metric, and counts nothing")
        return _over_window(tree, counter == "true", assumed)
    except BadQuery as error:
        raise strange((*metric.path, "query"), str(error)) from None


def _over_window(tree: ql.Expr, is_counter: bool, assumed: list[str]) -> str:
    try:
        return total(tree)
    except BadQuery:  # it asks what stands now, perhaps
        found = total(tree, Writing("increase" if is_counter else "sum_over_time"))
    words = "without `counter: true` a metric's samples are counts of events, and are added up"
    if not is_counter and words not in assumed:
        assumed.append(words)
    return found


def _sampled(query: str, path: DocumentPath, condition: str, assumed: list[str]) -> Indicator:
    """Each minute's values count as events."""
    asked = _PLACEHOLDERS.sub("5m", query).replace(WINDOW, "5m").strip()
    asked += "\n" if "#" in asked else ""  # a comment ends with its line
    good = f"sum(sum_over_time((({asked}) {condition})[{WINDOW}:{_STEP}]))"
    valid = f"sum(count_over_time(({asked})[{WINDOW}:{_STEP}]))"
    try:
        if not selectors(parse(asked)):
            raise BadQuery("it asks for no metric")
        parse(good.replace(WINDOW, "5m"))
    except BadQuery as error:
        raise strange((*path, "query"), str(error)) from None
    assumed.append(f"its values are looked at each {_STEP}, and each counts as an event")
    return _of_promql(good, valid)


def _raw(metric: Metric, raw_type: str, path: DocumentPath, assumed: list[str]) -> Indicator:
    if raw_type not in ("success", "failure"):
        raise wrong((*path, "rawType"), f"must be success or failure, not {raw_type[:40]!r}")
    sampled = _sampled(_query(metric), metric.path, f"* {SAMPLE_EVENTS}", assumed)
    assumed.append(f"each sample of the ratio counts as {SAMPLE_EVENTS:,} events, however many there were")
    whole = f"{SAMPLE_EVENTS} * {sampled.valid_promql}"
    part = sampled.good_promql
    return _of_promql(part if raw_type == "success" else f"{whole} - ({part} or vector(0))", whole)


def _events(metrics: Mapping[str, Metric], path: DocumentPath) -> Indicator:
    """Our own event streams: `source`, `good`, `valid` and `groupBy`, in good's spec or in total's."""
    if "bad" in metrics:
        raise strange((*path, "bad"), "say with `good` which events are good, as in: status = 'COMPLETED'")
    said: dict[str, str] = {}
    for metric in metrics.values():
        for name in metric.spec:
            if name not in ("source", "good", "valid", "groupBy"):
                raise wrong((*metric.path, name), "there are source, good, valid and groupBy")
            text = text_of(metric.spec, name, metric.path)
            if said.setdefault(name, text) != text:
                raise wrong((*metric.path, name), "good and total say different things")
    source = said.get("source", "")
    if source not in _EVENT_SOURCES:
        raise wrong((*metrics["good"].path, "source"), f"must be one of {', '.join(_EVENT_SOURCES)}")
    return Indicator(Source(source), said.get("good", ""), said.get("valid", ""), said.get("groupBy", ""))


def metric_document(indicator: Indicator) -> dict[str, Any]:
    """The spec of the SLI that says an indicator; not of COMPOSITE."""
    if indicator.source is Source.PROMQL:
        good = {"type": "Prometheus", "spec": {"query": indicator.good_promql}}
        valid = {"type": "Prometheus", "spec": {"query": indicator.valid_promql}}
    else:
        both = {"source": str(indicator.source.value)}
        grouped = {"groupBy": indicator.group_by} if indicator.group_by else {}
        good = {"type": SOURCE_TYPE, "spec": {**both, "good": indicator.good, **grouped}}
        said = {"valid": indicator.valid} if indicator.valid else {}
        valid = {"type": SOURCE_TYPE, "spec": {**both, **said}}
    return {
        "ratioMetric": {"counter": True, "good": {"metricSource": good}, "total": {"metricSource": valid}}
    }
