"""Definitions as OpenSLO v1. What OpenSLO has no field for stands in annotations, so that it can be read again."""

from collections.abc import Sequence
from typing import Any

from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition
from neural_hive.slo_files import openslo
from neural_hive.slo_files.openslo import as_name, window_document
from neural_hive.slo_files.openslo_indicators import metric_document
from neural_hive.slo_files.report import Finding, Outcome


def documents(definitions: Sequence[Definition], findings: list[Finding]) -> list[dict[str, Any]]:
    """The objects that say the definitions; a composite SLO refers to the SLIs of its parts."""
    known = {made.slo_id: made for made in definitions}
    told = [made for made in definitions if _can_be_said(made, known, findings)]
    parts = {part.slo_id for made in told for part in made.indicator.parts}
    slis = [_sli(made) for made in told if made.slo_id in parts]
    return [*slis, *(_slo(made, known, made.slo_id in parts) for made in told)]


def _can_be_said(made: Definition, known: dict[str, Definition], findings: list[Finding]) -> bool:
    subject = f"SLO {made.slo_id}"
    for part in made.indicator.parts:
        found = known.get(part.slo_id)
        if found is None or found.indicator.source is Source.COMPOSITE:
            why = "is not among those that are written" if found is None else "is composite itself"
            text = f"OpenSLO has a composite SLO's indicators within it, and its part {part.slo_id} {why}"
            findings.append(Finding(Outcome.LEFT_OUT, text, subject=subject, slo_ids=(made.slo_id,)))
            return False
    return True


def _sli(made: Definition) -> dict[str, Any]:
    metadata = {"name": as_name(made.slo_id)}
    return _object("SLI", metadata, metric_document(made.indicator))


def _object(kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": openslo.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _slo(made: Definition, known: dict[str, Definition], is_part: bool) -> dict[str, Any]:
    name = as_name(made.slo_id)
    metadata: dict[str, Any] = {"name": name, "displayName": made.name}
    if made.labels:
        metadata["labels"] = dict(made.labels)
    metadata["annotations"] = _notes(made)
    spec: dict[str, Any] = {"description": made.description} if made.description else {}
    spec["service"] = as_name(made.service_name)
    if is_part:
        spec["indicatorRef"] = name
    elif not made.indicator.parts:
        spec["indicator"] = {"metadata": {"name": name}, "spec": metric_document(made.indicator)}
    spec["timeWindow"] = [window_document(made.window_kind, made.window_days)]
    spec["budgetingMethod"] = "Occurrences"
    spec["objectives"] = [
        {
            "displayName": known[part.slo_id].name,
            "indicatorRef": as_name(part.slo_id),
            "target": known[part.slo_id].target,
            "compositeWeight": part.weight,
        }
        for part in made.indicator.parts
    ] or [{"target": made.target}]
    return _object("SLO", metadata, spec)


def _notes(made: Definition) -> dict[str, str]:
    composite = bool(made.indicator.parts)
    said = {
        openslo.ID_NOTE: made.slo_id if as_name(made.slo_id) != made.slo_id else "",
        openslo.SERVICE_NOTE: made.service_name if as_name(made.service_name) != made.service_name else "",
        openslo.TYPE_NOTE: str(made.slo_type.value),
        openslo.LAYER_NOTE: made.layer,
        openslo.NAMESPACE_NOTE: made.namespace,
        openslo.ENABLED_NOTE: "" if made.enabled else "false",
        openslo.METRIC_NOTE: made.indicator.metric_name,
        openslo.TARGET_NOTE: repr(made.target) if composite else "",
        openslo.PARTS_NOTE: ",".join(part.slo_id for part in made.indicator.parts),
    }
    return {name: text for name, text in said.items() if text}
