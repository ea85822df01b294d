"""What every partition reads of the definitions: SLOs that are measured, and policies that freeze."""

from typing import Any, Final

from neural_hive.aggregates.aggregate import event_of
from neural_hive.aggregates.freeze_policy import FREEZE_POLICY, FreezePolicy, FreezePolicyDefined
from neural_hive.aggregates.slo import SLO, Slo, SloDefined
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.broadcast import View

Slos = dict[str, Slo]
Policies = dict[str, FreezePolicy]


def _with_slo(known: Slos, record: Any) -> Slos:
    decoded = decode(record.value(), "event")
    assert isinstance(decoded.head, Envelope)
    if decoded.head.aggregate_type != SLO.name:
        return known
    event = event_of(SLO, decoded.head.event_type, decoded.payload)
    slo_id = decoded.head.aggregate_id
    if isinstance(event, SloDefined):
        return {**known, slo_id: SLO.evolve(known.get(slo_id), event)}
    return {name: slo for name, slo in known.items() if name != slo_id}


def _with_policy(known: Policies, record: Any) -> Policies:
    decoded = decode(record.value(), "event")
    assert isinstance(decoded.head, Envelope)
    if decoded.head.aggregate_type != FREEZE_POLICY.name:
        return known
    event = event_of(FREEZE_POLICY, decoded.head.event_type, decoded.payload)
    policy_id = decoded.head.aggregate_id
    if isinstance(event, FreezePolicyDefined):
        return {**known, policy_id: FREEZE_POLICY.evolve(known.get(policy_id), event)}
    # One that was removed stays: what it has frozen must still be let go.
    return (
        {**known, policy_id: FREEZE_POLICY.evolve(known[policy_id], event)} if policy_id in known else known
    )


SLOS: Final[View[Slos]] = View(SLO.topic, {}, _with_slo)
POLICIES: Final[View[Policies]] = View(FREEZE_POLICY.topic, {}, _with_policy)
