"""What would have been with other SLOs or freeze policies: both sides are runs over the same counts and words.

The baseline is what stands now, the variant the same with what a file says in its place; each holds from the beginning
of the log on. So what differs comes from the change alone. Beside them stands what was in fact.
"""

from collections import Counter as Times
from collections.abc import Iterable, Mapping, Sequence
from heapq import merge
from typing import Final

import msgspec

from neural_hive.aggregates.burn import Status
from neural_hive.aggregates.freeze_policy import Action, Policy
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Slo
from neural_hive.replay.reader import LogSource
from neural_hive.replay.slos.countable import countable, whole, with_composites, with_parts
from neural_hive.replay.slos.counting import COUNTED, Counter, Said
from neural_hive.replay.slos.deploys import Held, held_in_fact, would_be_held
from neural_hive.replay.slos.history import Past, events_of, past_of, said_of, windows_of
from neural_hive.replay.slos.outcome import Frozen, Key, Look, Outcome, Violated, dimension_of, length, union
from neural_hive.replay.slos.run import Word, run
from neural_hive.streams.kernel.reading import MessageReader

SLOS_MAX: Final = 500  # with more, only those that the change concerns are run


class NothingToTry(LookupError):
    """Nothing of the file can be tried; the text says why."""


class Wanted(msgspec.Struct, frozen=True):
    """What shall be tried, and over which time: what is told lies between, µs."""

    definitions: tuple[Definition, ...]
    policies: tuple[Policy, ...]
    until: int
    since: int = 0  # 0: from the beginning of the log


class BudgetNumbers(msgspec.Struct, frozen=True):
    """A budget over the time."""

    good: int  # as it was seen last
    valid: int
    remaining: float
    lowest: float
    exhausted_us: int  # how long nothing was left of it
    freezes: int  # that began, or held already
    frozen_us: int  # how long deploys were frozen for it
    violations: dict[str, int]  # by kind


class Numbers(msgspec.Struct, frozen=True):
    """One side over the time."""

    freezes: int
    frozen_us: int  # how long some deploys were frozen, by any policy
    longest_us: int
    policies: dict[str, tuple[int, int]]  # how many freezes by each policy, and how long in all, µs
    deploys_held: int
    held_us: int  # of all of them
    violations: dict[str, int]
    exhausted_us: int


class Side(msgspec.Struct, frozen=True):
    """What became of it all on one side."""

    outcome: Outcome
    held: tuple[Held, ...]
    numbers: Numbers
    budgets: dict[Key, BudgetNumbers]


class SloWhatIf(msgspec.Struct, frozen=True):
    """The whole answer."""

    since: int
    until: int
    changed: tuple[str, ...]  # what differs from what stands: "slo checkout: target 0.99 → 0.999"
    concerned: tuple[str, ...]  # SLOs whose budgets may differ
    deploys: int  # in the time
    history: Side
    baseline: Side
    variant: Side
    notes: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether variant and baseline are the same, in all that was seen."""
        left, right = self.baseline.outcome, self.variant.outcome
        seen = [
            (
                {key: b.digest for key, b in side.budgets.items()},
                [f.key for f in side.freezes],
                side.violations,
            )
            for side in (left, right)
        ]
        return seen[0] == seen[1] and self.baseline.held == self.variant.held


def what_if(source: LogSource, wanted: Wanted, read: MessageReader) -> SloWhatIf:
    """Reads the log, runs both sides and compares them; `read` reads what others wrote.

    Raises NothingToTry, and what the source raises.
    """
    past = past_of(source, wanted.until)
    standing = {name: slo.definition for name, slo in past.slos.items()}
    policies = {name: found.policy for name, found in past.policies.items()}
    notes: list[str] = []
    tried = countable(wanted.definitions, standing, notes)
    if not tried and not wanted.policies:
        raise NothingToTry("; ".join(notes) or "the file has no SLO and no freeze policy")
    other_policies = {**policies, **{policy.policy_id: policy for policy in wanted.policies}}
    variant = whole({**standing, **tried}, notes)
    given = _concerned(standing, tried, wanted.policies, policies)
    concerned = with_composites(given, standing) | with_composites(given, variant)
    needed = with_parts(concerned, standing) | with_parts(concerned, variant)
    if len(standing) > SLOS_MAX:
        notes.append(
            f"{len(standing):,} SLOs are defined: only the {len(needed):,} that this concerns were run"
        )
        standing = {name: definition for name, definition in standing.items() if name in needed}
    variant = {name: definition for name, definition in variant.items() if name in needed}
    anew = {
        name for name, d in variant.items() if name not in standing or d.indicator != standing[name].indicator
    }
    counters = Counter(_as_slos(standing)), Counter(_as_slos({name: variant[name] for name in anew}))
    events = events_of(source, wanted.until, counters)
    windows_at = (
        windows_of(source, wanted.until, counters, read) if _ask_for_windows(standing, variant) else 0
    )
    starts = past.first_at, events.first_at, windows_at
    first_at = min((at for at in starts if at), default=wanted.until)
    since = max(wanted.since, first_at)
    before = _said(counters[0], past, standing)
    after = [said for said in before if said.slo_id in needed - anew]
    sides = (
        (standing, policies, before),
        (variant, other_policies, list(merge(after, counters[1].tally.said(), key=lambda said: said.at))),
    )
    begins_at = min((said.at for said in (*sides[0][2], *sides[1][2])), default=since)
    begins_at = min([begins_at, *(word.at for word in past.words)]) - 1_000_000
    ran = [
        run(definitions, by, counts, _words(past, definitions, by), begins_at, wanted.until)
        for definitions, by, counts in sides
    ]
    if ran[1].refused > ran[0].refused:
        notes.append(
            f"{ran[1].refused - ran[0].refused:,} corrections or words on freezes fit the variant no more"
        )
    times = since, wanted.until
    found = list(events.deploys.found.values())
    outcomes = ran[0].outcome, _with_others(ran[1].outcome, ran[0].outcome, needed)
    return SloWhatIf(
        *times,
        tuple(_changes(standing, tried, policies, wanted.policies)),
        tuple(sorted(concerned)),
        sum(any(since <= at < wanted.until for at in deploy.moments) for deploy in found),
        _side(past.outcome, held_in_fact(found, *times), *times),
        _side(outcomes[0], would_be_held(found, outcomes[0].freezes, *times), *times),
        _side(outcomes[1], would_be_held(found, outcomes[1].freezes, *times), *times),
        tuple(notes),
    )


def _ask_for_windows(*sides: Mapping[str, Definition]) -> bool:
    return any(d.indicator.source is Source.TELEMETRY for side in sides for d in side.values())


def _concerned(
    standing: Mapping[str, Definition],
    tried: Mapping[str, Definition],
    wanted: Sequence[Policy],
    policies: Mapping[str, Policy],
) -> frozenset[str]:
    """The SLOs whose budgets or freezes may be others."""
    forms = [
        form for policy in wanted for form in (policy, policies.get(policy.policy_id)) if form is not None
    ]
    by_policy = {name for name, d in standing.items() if any(form.concerns(d) for form in forms)}
    return frozenset(by_policy | tried.keys())


def _as_slos(definitions: Mapping[str, Definition]) -> dict[str, Slo]:
    return {name: Slo(definition, 1, 1, 0) for name, definition in definitions.items()}


def _said(counter: Counter, past: Past, standing: Mapping[str, Definition]) -> list[Said]:
    """What was counted of SLOs that are not composite: from the log, or as it was counted live if that has nothing."""
    known = {*COUNTED, Source.COMPOSITE}
    elsewhere = (said_of(past, name) for name, d in standing.items() if d.indicator.source not in known)
    return list(merge(counter.tally.said(), *elsewhere, key=lambda said: said.at))


def _words(past: Past, definitions: Mapping[str, Definition], policies: Mapping[str, Policy]) -> list[Word]:
    return [word for word in past.words if word.routing_id in definitions or word.routing_id in policies]


def _with_others(variant: Outcome, baseline: Outcome, ran: frozenset[str]) -> Outcome:
    """With what was not run once more, for nothing was changed of it: it is as in the baseline."""
    return Outcome(
        {**{key: b for key, b in baseline.budgets.items() if key[0] not in ran}, **variant.budgets},
        sorted(
            [
                *variant.freezes,
                *(f for f in baseline.freezes if f.freeze.slo_id and f.freeze.slo_id not in ran),
            ],
            key=lambda f: (f.begun_at, f.freeze.freeze_id),
        ),
        sorted(
            [*variant.violations, *(v for v in baseline.violations if v.slo_id not in ran)],
            key=lambda v: (v.begun_at, v.slo_id, v.dimension, v.kind),
        ),
    )


def _changes(
    standing: Mapping[str, Definition],
    tried: Mapping[str, Definition],
    policies: Mapping[str, Policy],
    wanted: Iterable[Policy],
) -> list[str]:
    pairs = [(f"slo {name}", standing.get(name), definition) for name, definition in tried.items()]
    others = [(f"policy {p.policy_id}", policies.get(p.policy_id), p) for p in wanted]
    return [line for name, was, now in (*pairs, *others) for line in _change(name, was, now)]


def _change(name: str, was: msgspec.Struct | None, now: msgspec.Struct) -> list[str]:
    if was is None:
        return [f"{name} is new"]
    fields = [field for field in now.__struct_fields__ if getattr(was, field) != getattr(now, field)]
    return [
        f"{name}: {field} {_told(getattr(was, field))} → {_told(getattr(now, field))}" for field in fields
    ]


def _told(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        given = {name: getattr(value, name) for name in value.__struct_fields__}
        return ", ".join(f"{name} {each}" for name, each in given.items() if each)
    return str(value) if value not in ("", (), {}) else "nothing"


def _side(outcome: Outcome, held: Sequence[Held], since: int, until: int) -> Side:
    freezes = [f for f in outcome.freezes if length(f.begun_at, f.ended_at, since, until)]
    violations = [v for v in outcome.violations if length(v.begun_at, v.ended_at, since, until)]
    kept = Outcome(outcome.budgets, freezes, violations)
    budgets = {key: _of_budget(key, kept, since, until) for key in sorted(outcome.budgets)}
    blocking = [f for f in freezes if Action.BLOCK_DEPLOY in f.freeze.actions]
    by_policy = {name: [f for f in freezes if f.freeze.policy_id == name] for name in _policies(freezes)}
    numbers = Numbers(
        len(freezes),
        _frozen(blocking, since, until),
        max((length(f.begun_at, f.ended_at, since, until) for f in blocking), default=0),
        {name: (len(theirs), _frozen(theirs, since, until)) for name, theirs in by_policy.items()},
        len(held),
        sum(one.held_us for one in held),
        _by_kind(violations),
        sum(budget.exhausted_us for budget in budgets.values()),
    )
    return Side(kept, tuple(held), numbers, budgets)


def _policies(freezes: Iterable[Frozen]) -> list[str]:
    return sorted({f.freeze.policy_id for f in freezes})


def _frozen(freezes: Iterable[Frozen], since: int, until: int) -> int:
    return union(((f.begun_at, f.ended_at) for f in freezes), since, until)


def _by_kind(violations: Iterable[Violated]) -> dict[str, int]:
    return dict(sorted(Times(v.kind.value for v in violations).items()))


def _of_budget(key: Key, outcome: Outcome, since: int, until: int) -> BudgetNumbers:
    looks = looks_within(outcome.budgets[key].looks, since, until)
    last = looks[-1] if looks else None
    freezes = [f for f in outcome.freezes if (f.freeze.slo_id, dimension_of(f.freeze.budget_id)) == key]
    return BudgetNumbers(
        last.good if last else 0,
        last.valid if last else 0,
        last.remaining if last else 1.0,
        min((look.remaining for look in looks), default=1.0),
        _exhausted(looks, since, until),
        len(freezes),
        _frozen((f for f in freezes if Action.BLOCK_DEPLOY in f.freeze.actions), since, until),
        _by_kind(v for v in outcome.violations if (v.slo_id, v.dimension) == key),
    )


def looks_within(looks: Sequence[Look], since: int, until: int) -> list[Look]:
    """Those between two times, with what stood at the beginning."""
    before = [look for look in looks if look.upto <= since]
    return [*before[-1:], *(look for look in looks if since < look.upto <= until)]


def _exhausted(looks: Sequence[Look], since: int, until: int) -> int:
    ends = [*(look.upto for look in looks[1:]), until]
    times = zip(looks, ends, strict=True)
    return sum(length(look.upto, end, since, until) for look, end in times if look.status is Status.EXHAUSTED)
