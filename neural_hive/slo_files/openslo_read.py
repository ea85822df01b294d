"""OpenSLO v1 into definitions: an SLO for each objective, or a composite one where objectives have indicators."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from neural_hive.aggregates.sla_window import WindowKind
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import TEXT_CHARS_MAX, Definition, Indicator, Part, SloType
from neural_hive.documents import DocumentPath
from neural_hive.slo_files import openslo
from neural_hive.slo_files.naming import as_id, free_id, type_said
from neural_hive.slo_files.openslo import (
    Object,
    Unclear,
    mapping_of,
    number_of,
    strange,
    text_of,
    window_of,
    wrong,
)
from neural_hive.slo_files.openslo_indicators import Threshold, indicator_of, threshold_of
from neural_hive.slo_files.own import rules
from neural_hive.slo_files.report import Outcome, field

OBJECTIVES_MAX: Final = 50  # of one SLO
_DIGITS: Final = 12  # of a target that was a percentage
_SPEC_FIELDS: Final = frozenset(
    (
        "description",
        "service",
        "indicator",
        "indicatorRef",
        "timeWindow",
        "budgetingMethod",
        "objectives",
        "alertPolicies",
    )
)
_LEFT_OUT: Final = {
    "Service": "a service needs no definition here: its SLOs name it",
    "DataSource": "its type says how queries are read; how it is reached is a setting, and was not read",
    **dict.fromkeys(
        openslo.ALERT_KINDS,
        "every SLO's burn rates are watched as they are; a FreezePolicy says what follows from them",
    ),
}

# Where a definition's field stands in an object.
_PLACES: Final[dict[str | int, DocumentPath]] = {
    "slo_id": ("metadata", "name"),
    "name": ("metadata", "displayName"),
    "labels": ("metadata", "labels"),
    "service_name": ("spec", "service"),
    "target": ("spec", "objectives"),
    "window_days": ("spec", "timeWindow"),
}


class _Objective(msgspec.Struct):
    value: dict[str, Any]
    path: DocumentPath
    name: str
    target: float
    weight: float
    threshold: Threshold | None

    @property
    def has_indicator(self) -> bool:
        return self.value.get("indicator") is not None or self.value.get("indicatorRef") is not None


class _Frame(msgspec.Struct):
    """What all SLOs of one object share."""

    slo_id: str
    name: str
    service: str
    window: tuple[WindowKind, int]


def read_objects(objects: Sequence[Object], taken: set[str]) -> list[Definition]:
    """The SLOs of a file's objects."""
    known: dict[str, dict[str, Object]] = {kind: {} for kind in openslo.KINDS}
    first = []
    for found in objects:
        if found.name in known[found.kind]:
            found.add(
                Outcome.WRONG, "it stands twice in this file: give it another name", ("metadata", "name")
            )
        else:
            known[found.kind][found.name] = found
            first.append(found)
    reader = _Reader(known["SLI"], known["DataSource"], taken)
    made = [slo for found in first if found.kind == "SLO" for slo in reader.slo(found)]
    for found in first:
        if found.kind in _LEFT_OUT:
            found.add(Outcome.LEFT_OUT, _LEFT_OUT[found.kind])
        elif found.kind == "SLI" and found.name in reader.asked:
            found.add(Outcome.READ, "as the indicator of SLOs")
        elif found.kind == "SLI":
            found.add(Outcome.LEFT_OUT, "no SLO of this file refers to it")
    return made


class _Reader:
    def __init__(self, slis: dict[str, Object], sources: dict[str, Object], taken: set[str]) -> None:
        self._slis = slis
        self._sources = sources
        self._taken = taken
        self.asked: set[str] = set()

    def slo(self, found: Object) -> list[Definition]:
        """What came of an SLO; nothing after it was told why."""
        assumed: list[str] = []
        try:
            made = self._read(found, assumed)
        except Unclear as error:
            found.add(error.outcome, str(error), error.path)
            return []
        problems = [problem for one in made for problem in rules(one)]
        problems += [
            (("slo_id",), f"there is an SLO {one.slo_id} in this file already")
            for one in made
            if one.slo_id in self._taken
        ]
        for path, words in problems:
            found.add(Outcome.WRONG, words, _PLACES.get(path[0], ("spec",)) if path else ("spec",))
        if problems:
            return []
        ids = tuple(one.slo_id for one in made)
        self._taken.update(ids)
        found.add(Outcome.READ, f"as {', '.join(ids)}", slo_ids=ids)
        for words in dict.fromkeys(assumed):
            found.add(Outcome.ASSUMED, words, slo_ids=ids)
        self._leave_out(found)
        return made

    def _leave_out(self, found: Object) -> None:
        for name in found.spec:
            if name not in _SPEC_FIELDS:
                found.add(Outcome.LEFT_OUT, "OpenSLO v1 has no such field", ("spec", name))
        if found.spec.get("alertPolicies"):
            found.add(Outcome.LEFT_OUT, _LEFT_OUT["AlertPolicy"], ("spec", "alertPolicies"))

    def _read(self, found: Object, assumed: list[str]) -> list[Definition]:
        _check_method(found, assumed)
        service = found.annotations.get(openslo.SERVICE_NOTE) or text_of(found.spec, "service", ("spec",))
        if not service:
            raise wrong(("spec", "service"), "is missing")
        if len(text_of(found.spec, "description", ("spec",))) > TEXT_CHARS_MAX:
            assumed.append(f"of its description {TEXT_CHARS_MAX:,} characters are kept")
        slo_id = found.annotations.get(openslo.ID_NOTE) or as_id(found.name)
        frame = _Frame(slo_id, found.display_name or found.name, service, window_of(found.spec, assumed))
        objectives = _objectives(found)
        composed = [objective.has_indicator for objective in objectives]
        if not any(composed) or len(objectives) == 1:
            return self._each(found, frame, objectives, assumed)
        if not all(composed) or found.spec.get("indicator") or found.spec.get("indicatorRef"):
            raise wrong(
                ("spec", "objectives"),
                "of a composite SLO each objective has an indicator or indicatorRef, and the SLO has none",
            )
        return self._composite(found, frame, objectives, assumed)

    def _each(
        self, found: Object, frame: _Frame, objectives: list[_Objective], assumed: list[str]
    ) -> list[Definition]:
        """An SLO for each objective."""
        made: list[Definition] = []
        for objective in objectives:
            own = objective.has_indicator
            holder, path = (objective.value, objective.path) if own else (found.spec, ("spec",))
            indicator = self._indicator(found, holder, path, objective.threshold, assumed)
            ids = frame.slo_id, frame.name
            if len(objectives) > 1:
                ids = (
                    _sub_id(frame, objective, {one.slo_id for one in made}),
                    f"{frame.name}: {objective.name}",
                )
            made.append(_definition(found, frame, *ids, objective.target, indicator))
        return made

    def _composite(
        self, found: Object, frame: _Frame, objectives: list[_Objective], assumed: list[str]
    ) -> list[Definition]:
        """A composite SLO, and its parts unless it names them as SLOs that there are."""
        parts: list[Definition] = []
        if named := found.annotations.get(openslo.PARTS_NOTE):
            ids = named.split(",")
            if len(ids) != len(objectives):
                raise wrong(
                    ("metadata", "annotations", openslo.PARTS_NOTE),
                    f"names {len(ids)} parts of {len(objectives)} objectives",
                )
        else:
            for objective in objectives:
                taken = {one.slo_id for one in parts}
                indicator = self._indicator(
                    found, objective.value, objective.path, objective.threshold, assumed
                )
                sub = _sub_id(frame, objective, taken), f"{frame.name}: {objective.name}"
                parts.append(_definition(found, frame, *sub, objective.target, indicator))
            ids = [part.slo_id for part in parts]
        weighted = tuple(Part(i, o.weight) for i, o in zip(ids, objectives, strict=True))
        target = _composite_target(found, objectives, assumed)
        indicator = Indicator(
            Source.COMPOSITE, metric_name=found.annotations.get(openslo.METRIC_NOTE, ""), parts=weighted
        )
        return [*parts, _definition(found, frame, frame.slo_id, frame.name, target, indicator)]

    def _indicator(
        self,
        found: Object,
        holder: dict[str, Any],
        path: DocumentPath,
        threshold: Threshold | None,
        assumed: list[str],
    ) -> Indicator:
        inline, named = mapping_of(holder, "indicator", path), text_of(holder, "indicatorRef", path)
        if bool(inline) == bool(named):
            raise wrong(path, "must have either indicator or indicatorRef")
        if named and named not in self._slis:
            raise strange(
                (*path, "indicatorRef"),
                f"there is no SLI {named[:80]!r} in this file: put it into the same file",
            )
        try:
            if named:
                self.asked.add(named)
                at: DocumentPath = ("spec",)
                made = indicator_of(self._slis[named].spec, at, threshold, self._sources, assumed)
            else:
                at = (*path, "indicator", "spec")
                spec = mapping_of(inline, "spec", (*path, "indicator"))
                made = indicator_of(spec, at, threshold, self._sources, assumed)
        except Unclear as error:
            if not named:
                raise
            said = f"its SLI {named}: {field(error.path)}: {error}"
            raise Unclear(error.outcome, (*path, "indicatorRef"), said) from None
        metric = found.annotations.get(openslo.METRIC_NOTE, "")
        return msgspec.structs.replace(made, metric_name=metric)


def _check_method(found: Object, assumed: list[str]) -> None:
    path = "spec", "budgetingMethod"
    match text_of(found.spec, "budgetingMethod", ("spec",)):
        case "Occurrences":
            return
        case "":
            assumed.append("it has no budgetingMethod: events are counted (Occurrences)")
        case "Timeslices" | "RatioTimeslices" as method:
            raise strange(path, f"{method} judges slices of time; here events are counted: Occurrences")
        case other:
            raise wrong(path, f"must be Occurrences, not {other[:80]!r}")


def _objectives(found: Object) -> list[_Objective]:
    given, path = found.spec.get("objectives"), ("spec", "objectives")
    if not isinstance(given, list) or not 1 <= len(given) <= OBJECTIVES_MAX:
        raise wrong(path, f"must be a list of 1 to {OBJECTIVES_MAX} objectives")
    return [_objective(value, (*path, number)) for number, value in enumerate(given)]


def _objective(value: Any, path: DocumentPath) -> _Objective:
    if not isinstance(value, dict):
        raise wrong(path, "must be a mapping with `target` or `targetPercent`")
    target, percent = number_of(value, "target", path), number_of(value, "targetPercent", path)
    if (target is None) == (percent is None):
        raise wrong(path, "must have either target or targetPercent")
    if target is None:
        assert percent is not None
        target = round(percent / 100, _DIGITS)
    weight = number_of(value, "compositeWeight", path)
    name = text_of(value, "displayName", path) or text_of(value, "indicatorRef", path)
    return _Objective(
        value,
        path,
        name or str(int(path[-1]) + 1),
        target,
        1.0 if weight is None else weight,
        threshold_of(value, path),
    )


def _sub_id(frame: _Frame, objective: _Objective, taken: set[str]) -> str:
    return free_id(as_id(f"{frame.slo_id}-{as_id(objective.name) or int(objective.path[-1]) + 1}"), taken)


def _composite_target(found: Object, objectives: list[_Objective], assumed: list[str]) -> float:
    path: DocumentPath = ("metadata", "annotations")
    said = number_of(found.annotations, openslo.TARGET_NOTE, path)
    if said is not None:
        return said
    total = sum(objective.weight for objective in objectives)
    if not total > 0:
        raise wrong(("spec", "objectives"), "must have weights above 0")
    mean = sum(objective.weight * objective.target for objective in objectives) / total
    target = round(mean, _DIGITS)
    assumed.append(f"OpenSLO has no target of the whole: it is the weighted mean of its parts', {target}")
    return target


def _definition(
    found: Object, frame: _Frame, slo_id: str, name: str, target: float, indicator: Indicator
) -> Definition:
    notes = found.annotations
    foreign = {key: value for key, value in notes.items() if not key.startswith(openslo.PREFIX)}
    kind, days = frame.window
    return Definition(
        slo_id=slo_id,
        name=name,
        slo_type=_type(found, name, indicator),
        service_name=frame.service,
        target=target,
        indicator=indicator,
        window_kind=kind,
        window_days=days,
        layer=notes.get(openslo.LAYER_NOTE, ""),
        namespace=notes.get(openslo.NAMESPACE_NOTE, ""),
        description=text_of(found.spec, "description", ("spec",))[:TEXT_CHARS_MAX],
        labels=foreign | found.labels,
        enabled=notes.get(openslo.ENABLED_NOTE) != "false",
    )


def _type(found: Object, name: str, indicator: Indicator) -> SloType:
    if said := found.annotations.get(openslo.TYPE_NOTE):
        if said not in (kind.value for kind in SloType if kind is not SloType.UNKNOWN):
            raise wrong(("metadata", "annotations", openslo.TYPE_NOTE), "must be a type of SLO")
        return SloType(said)
    if "_bucket{" in indicator.good_promql:
        return SloType.LATENCY
    return type_said(name, found.name) or SloType.CUSTOM
