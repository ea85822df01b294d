"""Verifies whole systems: their logs, what was archived of them, the read models, and the processors' state.

In one process or in many, from the beginning or from where an earlier run was broken off: the report is the same.
"""

import os
import secrets
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from neural_hive.connectors.heaps import limit_heaps
from neural_hive.replay.fingerprints import KEY_BYTES
from neural_hive.replay.reader import KafkaSource
from neural_hive.replay.report import Check, Findings, LookedAt, Part, Report
from neural_hive.replay.steps.journal import Journal
from neural_hive.replay.steps.plan import WRITERS, Plan, Planned, can_be_done, steps
from neural_hive.replay.steps.request import Decide, Request, Tables
from neural_hive.replay.steps.results import Results
from neural_hive.replay.steps.scope import scope_of
from neural_hive.replay.steps.step import Done, Step
from neural_hive.replay.steps.work import UNDONE
from neural_hive.replay.steps.workers import WorkerDied, Workers
from neural_hive.replay.steps.workshop import Workshop

SMALL_RECORDS: Final = 20_000  # fewer events are verified sooner than processes are started


class How(msgspec.Struct, frozen=True):
    """How the work is done. None of it changes what is found."""

    processes: int | None = 1  # None: as many as there are cores and partitions, for a log that is worth it
    opening: Callable[[], Request] | None = None  # makes the request in another process; it must be picklable
    journal: Path | None = None  # a folder: what is done is kept there, and a broken-off run goes on from it


class _Run(msgspec.Struct):
    """What there is of a run: problems of the plan, results by step, and which of them an earlier run has left."""

    order: list[Planned]
    problems: list[str]
    done: dict[Step, Done] = {}
    earlier: frozenset[Step] = frozenset()


def verify_everything(request: Request, how: How | None = None) -> Report:
    """One report over all systems. What could not be done is in the report, with what was found until then.

    Raises JournalRefused: the journal is of another log, of other code, or damaged.
    """
    limit_heaps(1)
    started_at, how = time.monotonic(), how or How()
    if how.journal is None:
        with TemporaryDirectory(prefix="neural-hive-verify-") as name:
            run = _run(request, how, Results(Path(name), lasting=False), None)
            return _report(request, run, time.monotonic() - started_at)
    with closing(Journal(how.journal, request)) as journal:
        run = _run(request, how, Results(how.journal, lasting=True), journal)
        report = _report(request, run, time.monotonic() - started_at)
        if not report.problem:
            journal.remove()
        return report


def _run(request: Request, how: How, results: Results, journal: Journal | None) -> _Run:
    problems: list[str] = []
    plan = journal.plan() if journal is not None else None
    if plan is None:
        plan, problems = _plan(request)
        if journal is not None and not problems:
            journal.begin(plan)
    order = steps(plan, request.targets())
    run = _Run(order, problems)
    for step, _ in order:
        if results.has(step) and journal is not None:
            done = results.result(step)
            if done.report.problem:
                results.drop(step)
            else:
                run.done[step] = done
    run.earlier = frozenset(run.done)
    _work(request, how, plan, results, run)
    return run


def _plan(request: Request) -> tuple[Plan, list[str]]:
    """What is to be done, and why some of it cannot be."""
    problems: list[str] = []
    scopes = []
    kafka = KafkaSource(request.kafka, request.stall_s)
    source = request.source(kafka)
    for name, target in request.targets().items():
        try:
            scopes.append(scope_of(target, source, request.committed(target, kafka)))
        except UNDONE as error:
            problems.append(f"{name}: {error}")
    archived = request.tables is not None and not request.from_archive
    plan = Plan(
        scopes,
        secrets.token_bytes(KEY_BYTES),
        list(request.archived_topics()) if archived else [],
        request.tables is not None,
        request.sealing is not None,
        request.decide is not None,
    )
    return plan, problems


def _work(request: Request, how: How, plan: Plan, results: Results, run: _Run) -> None:
    processes = _processes(how, plan)
    if processes > 1 and how.opening is not None:
        try:
            with Workers(how.opening, plan, results, processes, request.told) as workers:
                workers.do(run.order, run.done)
        except WorkerDied as error:
            run.problems.append(str(error))
        return
    workshop = Workshop(request, plan, results)
    for step, needs in run.order:
        if step not in run.done and can_be_done(needs, run.done):
            run.done[step] = workshop.do(step, needs)


def _processes(how: How, plan: Plan) -> int:
    if how.processes is not None:
        return how.processes
    partitions = sum(scope.partitions for scope in plan.scopes)
    return min(cores(), max(partitions, 1)) if plan.records >= SMALL_RECORDS else 1


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _report(request: Request, run: _Run, duration_s: float) -> Report:
    findings, parts, problems = Findings(), list[Part](), list(run.problems)
    _note_left_out(request, findings)
    looked_at = []
    for step, _ in run.order:
        done = run.done.get(step)
        if done is None:
            continue
        findings.take(done.report)
        parts += done.report.parts
        looked_at.append(LookedAt(step.name, done.began_at, done.ended_at, step in run.earlier))
        if done.report.problem:
            of = f"{step.of}: " if step.kind in WRITERS else ""
            problems.append(of + done.report.problem)
    if request.decide is not None and not findings.examined[Check.DECISION]:
        findings.skip(Check.DECISION, "none could be run again")
    report = findings.report(parts, duration_s, "; ".join(dict.fromkeys(problems)))
    return msgspec.structs.replace(report, looked_at=tuple(looked_at))


def _note_left_out(request: Request, findings: Findings) -> None:
    if request.tables is None:
        for check in (Check.ARCHIVE, Check.PROJECTION):
            findings.skip(check, "left out")
    elif request.from_archive:
        findings.skip(Check.ARCHIVE, "the log was read from the archive itself")
    if request.sealing is None:
        for check in (Check.SEAL, Check.WITNESS):
            findings.skip(check, "left out")


__all__ = ["Decide", "How", "Request", "Tables", "cores", "verify_everything"]
