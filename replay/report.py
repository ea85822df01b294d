"""What a verification found: for a person as text, for a machine as JSON."""

from collections import Counter
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

FINDINGS_KEPT: Final = 1_000  # more are counted, not kept
EXIT_CLEAN, EXIT_FINDINGS, EXIT_NOT_VERIFIED = 0, 1, 2


class Check(StrEnum):
    """One thing that must hold; the value is the name in reports."""

    DECODE = "records can be read"
    ENVELOPE = "envelopes fit their schema, topic and headers"
    SEQUENCE = "sequence without gap per writer partition"
    VERSION = "versions without gap per aggregate"
    CHAIN = "hash chain per aggregate"
    TIME = "time never steps back per aggregate"
    IDENTITY = "event ids are derived, and unique"
    PLACE = "key and partition"
    ANSWERED = "every input answered"
    CAUSED = "every event has a committed cause"
    ARCHIVE = "archive equals log"
    PROJECTION = "projections equal the archive"
    STATE = "state equals fold of the log"
    SEAL = "log equals its seal"
    WITNESS = "checkpoints agree with the witness"
    DECISION = "decisions run again give the same bytes"


class Finding(msgspec.Struct, frozen=True):
    """One place where something does not hold."""

    check: Check
    place: str  # topic:partition:offset, or the table, folder or row
    aggregate: str  # type and id, "" if it is not about one
    expected: str
    found: str


class Accepted(msgspec.Struct, frozen=True):
    """Damage before a PartitionLogAccepted: a person has said that the log as it is shall count."""

    place: str  # of the acceptance
    by: str
    reason: str
    findings_count: int
    findings: tuple[Finding, ...]  # those of them that were kept


class Outcome(msgspec.Struct, frozen=True):
    """How one check ended."""

    check: Check
    examined: int
    findings: int
    skipped: str = ""  # why it could not be done; "" if it was


class LeftOut(msgspec.Struct, frozen=True):
    """What a check passed over, since it could not be looked at."""

    check: Check
    reason: str
    count: int
    place: str  # of the first


class Part(msgspec.Struct, frozen=True):
    """A range of one partition, and where it was read: "kafka" or "archive"."""

    source: str
    topic: str
    partition: int
    first_offset: int
    end_offset: int
    records: int


class SealSummary(msgspec.Struct, frozen=True):
    """How far the log is sealed, and what is not sealed yet: that could still be changed unseen."""

    checkpoints: int
    records: int
    sealed_at: int  # when the last checkpoint was signed, µs since 1970 UTC
    unsealed_records: int
    unsealed_s: float  # how long the oldest of them has been in the log
    file: str  # how the file of seals compares with the topic
    witnessed: dict[str, int]  # name of a witness → the last checkpoint that it has cosigned


class LookedAt(msgspec.Struct, frozen=True):
    """One step of a verification, and when it was done (ISO 8601, UTC)."""

    what: str
    began_at: str
    ended_at: str
    earlier: bool = False  # by a run that was broken off, and that this one has gone on from


class Report(msgspec.Struct, frozen=True):
    """The whole verification."""

    outcomes: tuple[Outcome, ...]
    findings: tuple[Finding, ...]  # the first FINDINGS_KEPT
    findings_count: int  # without the accepted ones
    parts: tuple[Part, ...]
    counts: dict[str, int]  # events, inputs, repeats, duplicates, dead_letters …
    duration_s: float
    problem: str = ""  # why it could not be verified to the end; "" if it was
    accepted: tuple[Accepted, ...] = ()
    seal: SealSummary | None = None  # None: nothing is sealed, or it was left out
    left_out: tuple[LeftOut, ...] = ()
    looked_at: tuple[LookedAt, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 clean, 1 something was found, 2 it could not be verified."""
        if self.findings_count:
            return EXIT_FINDINGS
        return EXIT_NOT_VERIFIED if self.problem else EXIT_CLEAN


# Of events that are gone: their numbers, their links, and the count that the ids of others of the same cause go by.
ACCEPTABLE: Final = frozenset({Check.SEQUENCE, Check.VERSION, Check.CHAIN, Check.IDENTITY})
Mark = tuple[int, Counter[Check]]  # how many findings were kept, and how many there were


class Findings:
    """Collects findings while the log is read, in bounded memory."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.accepted: list[Accepted] = []
        self.examined: Counter[Check] = Counter()
        self.found: Counter[Check] = Counter()
        self.counts: Counter[str] = Counter()
        self.skipped: dict[Check, str] = {}
        self.seal: SealSummary | None = None
        self._left_out: dict[tuple[Check, str], LeftOut] = {}

    def add(self, check: Check, place: str, aggregate: str, expected: object, found: object) -> None:
        """Notes that something does not hold."""
        self.found[check] += 1
        if len(self.kept) < FINDINGS_KEPT:
            self.kept.append(Finding(check, place, aggregate, _short(expected), _short(found)))

    def mark(self) -> Mark:
        """Where the findings stand now, for `accept`."""
        return len(self.kept), self.found.copy()

    def accept(self, since: Mark, place: str, by: str, reason: str) -> None:
        """Takes the findings of events that are gone since the mark as accepted; others stay what they are."""
        kept_before, found_before = since
        count = 0
        for check in ACCEPTABLE:
            count += self.found[check] - found_before[check]
            self.found[check] = found_before[check]
        if not count:
            return
        later = self.kept[kept_before:]
        self.kept[kept_before:] = [finding for finding in later if finding.check not in ACCEPTABLE]
        taken = tuple(finding for finding in later if finding.check in ACCEPTABLE)
        self.accepted.append(Accepted(place, by, reason, count, taken))

    def skip(self, check: Check, why: str) -> None:
        """Notes that a check cannot be done, and why."""
        self.skipped[check] = why

    def leave_out(self, check: Check, reason: str, place: str, count: int = 1) -> None:
        """Notes that so much could not be looked at, from a place on, and why."""
        known = self._left_out.get((check, reason), LeftOut(check, reason, 0, place))
        self._left_out[check, reason] = msgspec.structs.replace(known, count=known.count + count)

    def take(self, report: Report) -> None:
        """Adds what was found elsewhere."""
        for outcome in report.outcomes:
            self.examined[outcome.check] += outcome.examined
            self.found[outcome.check] += outcome.findings
            if outcome.skipped:
                self.skip(outcome.check, outcome.skipped)
        self.accepted += report.accepted
        self.seal = report.seal or self.seal
        self.kept += report.findings[: max(FINDINGS_KEPT - len(self.kept), 0)]
        self.counts.update(report.counts)
        for left in report.left_out:
            self.leave_out(left.check, left.reason, left.place, left.count)

    def report(self, parts: list[Part], duration_s: float, problem: str = "") -> Report:
        """All that was found so far."""
        outcomes = tuple(
            Outcome(check, self.examined[check], self.found[check], self.skipped.get(check, ""))
            for check in Check
            if check in self.examined or check in self.found or check in self.skipped
        )
        return Report(
            outcomes,
            tuple(self.kept),
            self.found.total(),
            tuple(parts),
            dict(self.counts),
            round(duration_s, 3),
            problem,
            tuple(self.accepted),
            self.seal,
            tuple(self._left_out.values()),
        )


def _short(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 300 else text[:297] + "…"


def render(report: Report, console: Console) -> None:
    """The report as a person reads it."""
    console.print(_outcomes(report))
    if report.findings:
        console.print(_findings(report))
    if report.findings_count > len(report.findings):
        console.print(f"… and {report.findings_count - len(report.findings)} more")
    for word in report.accepted:
        console.print(_plain(_told(word)), style="yellow")
    if report.seal:
        console.print(_plain(_sealed(report.seal)))
    for left in report.left_out:
        text = f"Not looked at ({left.check}): {left.count:,} from {left.place} on: {left.reason}"
        console.print(_plain(text), style="yellow")
    if earlier := [step for step in report.looked_at if step.earlier]:
        text = f"Looked at by an earlier run: {len(earlier)} of {len(report.looked_at)} steps, from {_span(earlier)}"
        console.print(_plain(text), style="yellow")
    counts = ", ".join(f"{count:,} {name}" for name, count in report.counts.items())
    sources = ", ".join(sorted({part.source for part in report.parts})) or "nothing"
    console.print(f"Read from {sources}: {counts or 'no records'}, in {report.duration_s:.1f} s")
    console.print(verdict(report), style="bold green" if report.exit_code == EXIT_CLEAN else "bold red")


def _span(steps: list[LookedAt]) -> str:
    return f"{min(step.began_at for step in steps)} to {max(step.ended_at for step in steps)}"


def _sealed(seal: SealSummary) -> str:
    at = datetime.fromtimestamp(seal.sealed_at / 1_000_000, UTC).isoformat(sep=" ", timespec="seconds")
    window = (
        f"Not sealed yet: {seal.unsealed_records:,} records, the oldest {seal.unsealed_s:g} s old"
        if seal.unsealed_records
        else "Nothing waits for its seal"
    )
    seen = ", ".join(f"up to checkpoint {size} by {name}" for name, size in seal.witnessed.items())
    return (
        f"Sealed: {seal.records:,} records by {seal.checkpoints:,} checkpoints, the last of {at}\n{window}\n"
        f"File of seals: {seal.file}. Witnessed: {seen or 'by nobody'}"
    )


def _told(word: Accepted) -> str:
    places = ", ".join(f"{finding.check} at {finding.place}" for finding in word.findings[:3])
    more = f" and {word.findings_count - 3} more" if word.findings_count > 3 else ""
    return f"Accepted by {word.by} at {word.place} ({word.reason}): {places}{more}"


def verdict(report: Report) -> str:
    """What a report comes to, in words."""
    if report.problem:
        return f"Not verified to the end: {report.problem}"
    if report.findings_count:
        return f"{report.findings_count} findings: the log or what was made from it is not as it was written"
    skipped = [str(outcome.check) for outcome in report.outcomes if outcome.skipped]
    return "All that was looked at holds" + (f"; not looked at: {', '.join(skipped)}" if skipped else "")


def _outcomes(report: Report) -> Table:
    table = Table("check", "looked at", "findings", title="Verification", title_justify="left")
    for outcome in report.outcomes:
        found = f"skipped: {outcome.skipped}" if outcome.skipped else str(outcome.findings)
        style = "yellow" if outcome.skipped else "red" if outcome.findings else "green"
        table.add_row(outcome.check, f"{outcome.examined:,}", found, style=style)
    return table


def _findings(report: Report) -> Table:
    table = Table("what", "where", "aggregate", "expected", "found", title="Findings", title_justify="left")
    for finding in report.findings:
        cells = (finding.check, finding.place, finding.aggregate, finding.expected, finding.found)
        table.add_row(*map(_plain, cells))
    return table


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
