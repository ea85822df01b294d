"""Freeze policies: at how little of a budget nothing more is deployed, and for whom."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type

STATUS_AFTER: Final = {"FreezePolicyDefined": "DEFINED", "FreezePolicyRemoved": "REMOVED"}


def _of(name: str, kind: str = "String") -> Column:
    return Column(name, kind, paths=(f"policy.{name}",))


FREEZE_POLICIES: Final = Projection(
    name="freeze_policies",
    source=EVENTS,
    types=tuple(STATUS_AFTER),
    key=(Column("policy_id", sql="aggregate_id"),),
    columns=(
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        _of("name"),
        _of("scope", WORD),
        _of("subject"),
        _of("actions", "Array(String)"),
        _of("trigger_percent", "Float64"),
        _of("unfreeze_percent", "Float64"),
        _of("trigger_level", WORD),
        _of("description"),
        _of("enabled", "Bool"),
        Column("revision", "UInt32"),
        Column("requested_by"),
        Column("reason"),
        Column("changed_at", TIME, paths=("defined_at", "removed_at")),
    ),
)
