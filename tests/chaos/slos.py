"""What must be true of SLOs when everything rests: counts are those of the tickets, and freezes were obeyed."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import event_of
from neural_hive.aggregates.budget import budget_id_of, minute_of
from neural_hive.aggregates.freeze import FREEZE, DeployFreeze, Standing
from neural_hive.aggregates.freeze_policy import Action
from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.reader import KafkaSource
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.settings import Settings
from tests.chaos.freezing import ALL, BAD, FROZEN_BY_BUDGET, FROZEN_S

TICKETS: Final = "execution.tickets"
ENDS: Final = {"TicketCompleted": "COMPLETED", "TicketFailed": "FAILED", "TicketTimedOut": "TIMED_OUT"}
OBEYED_AFTER_S: Final = 20.0  # beside the age that a view may have: what was decided by it waits for a leader
Counts = dict[str, Counter[tuple[int, str]]]  # budget → minute and "good" or "valid" → events


class Read(msgspec.Struct, frozen=True):
    """An event of the log."""

    record: Record
    kind: str
    owner: str
    payload: dict[str, Any]
    occurred_at: int


def problems(settings: Settings) -> dict[str, list[str]]:
    """What is wrong, by kinds; empty lists are right."""
    source = KafkaSource({**settings.kafka_config(), "log_level": 2})
    cursors = {
        (read.payload["slo_id"], read.payload["partition"]): read.payload["offset"]
        for read in _events(source, "sla.sources")
        if read.kind == "SliSourceOpened" and read.payload["topic"] == TICKETS
    }
    tickets, budgets = [*_events(source, TICKETS)], [*_events(source, "sla.budgets")]
    freezes = [*_events(source, FREEZE.topic)]
    counted, misread = _counted(budgets)
    return {
        "budgets with other counts than the tickets say": _differing(_of_tickets(tickets, cursors), counted),
        "budgets that were read otherwise than they were counted": misread,
        **_of_freezes(freezes),
        **_of_deploys(tickets, freezes, settings.deploy_view_age_s),
    }


def _events(source: KafkaSource, topic: str) -> Iterator[Read]:
    for partition, (first, end) in source.ranges(topic).items():
        for batch in source.batches(topic, partition, first, end):
            for record in batch:
                event = decode(record.value or b"", "event")
                assert isinstance(event.head, Envelope)
                head = event.head
                yield Read(record, head.event_type, head.aggregate_id, event.payload, head.occurred_at)


def _of_tickets(tickets: list[Read], cursors: dict[tuple[str, int], int]) -> Counts:
    """What the SLOs should have counted, ticket by ticket."""
    found: Counts = defaultdict(Counter)
    created: dict[str, Read] = {}
    for read in tickets:
        if read.kind == "TicketCreated":
            created[read.owner] = read
        if status := ENDS.get(read.kind):
            told = read.payload
            minute = minute_of(told.get("completed_at") or told.get("timed_out_at") or read.occurred_at)
            for slo_id in (ALL, BAD):
                begin = cursors.get((slo_id, read.record.partition))
                if begin is None or read.record.offset < begin:
                    continue
                # Of a ticket that began before the SLO was known, nobody has noted what it is.
                task = (
                    created[read.owner].payload["task"] if created[read.owner].record.offset >= begin else {}
                )
                if slo_id == ALL:
                    name = budget_id_of(ALL, 1, task.get("task_type", ""))
                    good = status == "COMPLETED"
                elif task and (task["task_type"], _service(task)) == ("DEPLOY", FROZEN_BY_BUDGET):
                    name, good = budget_id_of(BAD, 1), status == "FAILED"
                else:
                    continue
                found[name] += Counter({(minute, "valid"): 1, (minute, "good"): int(good)})
    return found


def _service(task: dict[str, Any]) -> str:
    return str(task["parameters"].get("service", ""))


def _counted(budgets: list[Read]) -> tuple[Counts, list[str]]:
    """What was counted; and the budgets whose last look saw another sum, or that have left something out."""
    found: Counts = defaultdict(Counter)
    seen: dict[str, tuple[int, int, int, int]] = {}
    misread = []
    for read in budgets:
        told = read.payload
        if read.kind == "SliCounted":
            for counts in told["counts"]:
                minute = minute_of(counts["at"])
                found[read.owner] += Counter({(minute, "valid"): counts["valid"]})
                found[read.owner][minute, "good"] += counts["good"]
            if told["uncounted"]:
                misread.append(f"{read.owner} left {told['uncounted']} events out")
        elif read.kind == "BudgetEvaluated":
            whole = next(s for s in told["sums"] if s["window"] == "budget")
            sums = [
                sum(
                    n
                    for (minute, kind), n in found[read.owner].items()
                    if kind == of and minute < told["upto"]
                )
                for of in ("good", "valid")
            ]
            seen[read.owner] = (whole["good"], whole["valid"], *sums)  # type: ignore[assignment]
            if [whole["good"], whole["valid"]] != sums:
                misread.append(f"{read.owner} upto {told['upto']}: {whole} instead of {sums}")
    return found, misread or ([] if seen else ["none was ever looked at"])


def _differing(expected: Counts, counted: Counts) -> list[str]:
    if not expected[budget_id_of(BAD, 1)]:
        return [f"no event of {BAD}"]
    return [
        f"{name}: {_total(counted[name])} instead of {_total(expected[name])}"
        for name in sorted(expected.keys() | counted.keys())
        if +expected[name] != +counted[name]
    ]


def _total(counts: Counter[tuple[int, str]]) -> str:
    good, valid = (sum(n for (_, kind), n in counts.items() if kind == of) for of in ("good", "valid"))
    return f"{good:,} good of {valid:,} in {len({minute for minute, _ in counts}):,} minutes"


def _folded(freezes: list[Read]) -> dict[str, DeployFreeze]:
    known: dict[str, DeployFreeze] = {}
    for read in freezes:
        event = event_of(FREEZE, read.kind, read.payload)
        known[read.owner] = FREEZE.evolve(known.get(read.owner), event)
    return known


def _of_freezes(freezes: list[Read]) -> dict[str, list[str]]:
    """Each begins and ends in turn, and none is left."""
    turns: dict[str, list[str]] = defaultdict(list)
    for read in freezes:
        if read.kind in ("FreezeActivated", "FreezeResolved"):
            turns[read.owner].append(read.kind)
    expected = ("FreezeActivated", "FreezeResolved")
    torn = [
        f"{name}: {', '.join(kinds)}"
        for name, kinds in turns.items()
        if kinds != [expected[n % 2] for n in range(len(kinds))]
    ]
    left = [name for name, freeze in _folded(freezes).items() if freeze.standing is Standing.ACTIVE]
    return {
        "freezes that did not begin and end in turn": torn,
        "freezes that are left": left,
        "kinds of freezes that there were not": [] if len(turns) > 1 else [f"only {list(turns)}"],
    }


def _of_deploys(tickets: list[Read], freezes: list[Read], view_age_s: float) -> dict[str, list[str]]:
    """None was given out by who knew of a freeze, or could have; those that were held have gone on."""
    assert view_age_s + OBEYED_AFTER_S < FROZEN_S, "a freeze must last longer than some may not know of it"
    services: dict[str, str] = {}
    held: dict[str, bool] = {}
    given: list[str] = []
    for read in tickets:
        match read.kind:
            case "TicketCreated" if read.payload["task"]["task_type"] == "DEPLOY":
                services[read.owner] = _service(read.payload["task"])
            case "TicketHeld":
                held[read.owner] = True
            case "TicketReleased":
                held[read.owner] = False
            case "TicketAllocated" if service := services.get(read.owner):
                if held.get(read.owner) or _knew(read, freezes, service, view_age_s):
                    given.append(f"{read.owner} of {service}, which was frozen")
                elif _is_late(read, freezes, service, view_age_s):
                    given.append(f"{read.owner} of {service}, which had been frozen for long")
    return {
        "deployments that were given out in a freeze": given,
        "deployments that are held for ever": [ticket_id for ticket_id, is_held in held.items() if is_held],
        "kinds of deployments that there were not": [] if held else ["none was ever held"],
    }


def _knew(read: Read, freezes: list[Read], service: str, view_age_s: float) -> bool:
    """Whether what a decision had read of the freezes says that it must wait, or was too old."""
    (seen,) = (view for view in read.payload["views"] if view["topic"] == FREEZE.topic)
    known = _folded([f for f in freezes if f.record.offset < seen["next_offsets"][f.record.partition]])
    is_blocked = any(freeze.blocks(Action.BLOCK_DEPLOY, service, "") for freeze in known.values())
    return is_blocked or seen["age_ms"] > 1_000 * view_age_s


def _is_late(read: Read, freezes: list[Read], service: str, view_age_s: float) -> bool:
    """Whether a service had been frozen for longer than anybody may know nothing of it, by the broker's clock."""
    at_ms, grace_ms = read.record.timestamp_ms, 1_000 * (view_age_s + OBEYED_AFTER_S)
    return any(began + grace_ms < at_ms < ended for began, ended in _stretches(freezes, service))


def _stretches(freezes: list[Read], service: str) -> Iterator[tuple[float, float]]:
    """From when to when a service was frozen, ms."""
    began: dict[str, float] = {}
    for freeze in freezes:
        if freeze.payload.get("subject") != service:
            continue
        if freeze.kind == "FreezeActivated":
            began[freeze.owner] = freeze.record.timestamp_ms
        elif freeze.kind == "FreezeResolved" and freeze.owner in began:
            yield began.pop(freeze.owner), freeze.record.timestamp_ms
    yield from ((since, math.inf) for since in began.values())
