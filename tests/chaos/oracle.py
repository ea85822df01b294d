"""What must be true when everything rests, however often it was killed."""

import subprocess
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from neural_hive.replay.reader import KafkaSource
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.settings import Settings
from neural_hive.streams.systems import SYSTEMS
from neural_hive.system import command_line
from tests.chaos.load import Ends, Load

HELD: Final = frozenset({"SlotRequested", "SlotGranted"})
VERIFY_TIMEOUT_S: Final = 900.0
SHOWN_MAX: Final = 5


class Log(msgspec.Struct, frozen=True):
    """What the committed event log holds."""

    events: int
    doubled: list[str]  # event ids that are there twice, tickets that completed twice
    slots_held: list[str]
    capacity_exceeded: list[str]
    created: dict[str, int]  # workflow → tickets
    unfinished: list[str]  # tickets without an end
    kinds: dict[str, int]


class Verdict(msgspec.Struct, frozen=True):
    """What the oracle found; nothing is right."""

    problems: list[str]
    events: int
    inputs: int
    duplicates: int
    losses: int
    dead_letters: int
    repeats: int  # inputs that came twice and caused nothing the second time
    kinds: dict[str, int]
    verify: dict[str, Any]


def read_log(settings: Settings) -> Log:
    """Reads all events."""
    source = KafkaSource({**settings.kafka_config(), "log_level": 2})
    topics = {topic for build in SYSTEMS.values() for topic in build(settings).event_topics}
    ids: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    slots: dict[str, str] = {}
    tickets: dict[str, str] = {}
    created: Counter[str] = Counter()
    completed: Counter[str] = Counter()
    exceeded: list[str] = []
    for topic in sorted(topics):
        for partition, (first, end) in source.ranges(topic).items():
            for batch in source.batches(topic, partition, first, end):
                for record in batch:
                    event = decode(record.value or b"", "event")
                    assert isinstance(event.head, Envelope)
                    name, owner = event.schema.name, event.head.aggregate_id
                    ids[event.head.event_id] += 1
                    kinds[name] += 1
                    if topic == "registry.slots":
                        slots[owner] = name
                        if name == "SlotGranted" and event.payload["held"] > event.payload["capacity"]:
                            exceeded.append(owner)
                    elif topic == "execution.tickets":
                        tickets[owner] = name
                        if name == "TicketCreated":
                            created[event.payload["workflow_id"]] += 1
                        completed[owner] += name == "TicketCompleted"
    doubled = [found for counts in (ids, completed) for found, count in counts.items() if count > 1]
    held = [slot for slot, name in slots.items() if name in HELD]
    unfinished = [ticket for ticket in tickets if completed[ticket] == 0]
    return Log(ids.total(), doubled, held, exceeded, dict(created), unfinished, dict(kinds))


def in_words(found: Mapping[str, list[str]]) -> list[str]:
    """What is wrong, by kinds, for a person."""
    return [f"{len(cases)} {what}: {', '.join(cases[:SHOWN_MAX])}" for what, cases in found.items() if cases]


def verify(settings: Settings) -> dict[str, Any]:
    """The report of `replay verify`."""
    line = command_line("replay", "verify", "--json", "--data", str(settings.data))
    done = subprocess.run(line, capture_output=True, text=True, timeout=VERIFY_TIMEOUT_S, check=False)
    if not done.stdout:
        return {"exit_code": done.returncode, "problem": done.stderr[-2_000:], "counts": {}, "outcomes": []}
    report: dict[str, Any] = msgspec.json.decode(done.stdout)
    return {name: found for name, found in report.items() if name != "parts"}


def judge(settings: Settings, load: Load, ends: Ends, inputs: int) -> Verdict:
    """Looks at everything. Call when everything rests."""
    log, report = read_log(settings), verify(settings)
    counts = report["counts"]
    missing = [workflow for workflow in load.tasks if workflow not in ends.found]
    bad_ends = [f"{w} {name}" for w, name in ends.found.items() if name != "WorkflowCompleted"]
    wrong = [w for w, tasks in load.tasks.items() if log.created.get(w, 0) != tasks]
    found = {
        "plans that were not delivered": load.undelivered,
        "workflows without an end": missing,
        "workflows that ended otherwise than completed": bad_ends,
        "workflows that ended twice": ends.doubled,
        "workflows with other tickets than tasks": wrong,
        "tickets that never completed": log.unfinished,
        "events or completions that are there twice": log.doubled,
        "slots that nobody gave back": log.slots_held,
        "slots beyond an agent's capacity": log.capacity_exceeded,
    }
    problems = in_words(found)
    if report["exit_code"] != 0:
        shown = report.get("findings", [])[:SHOWN_MAX]
        problems.append(f"replay verify ended with {report['exit_code']}: {report['problem']} {shown}")
    unanswered = sum(o["findings"] for o in report["outcomes"] if o["check"] == "every input answered")
    return Verdict(
        problems=problems,
        events=log.events,
        inputs=counts.get("inputs", inputs),
        duplicates=len(log.doubled) + len(ends.doubled),
        losses=len(missing) + len(wrong) + unanswered,
        dead_letters=counts.get("dead_letters", 0),
        repeats=counts.get("repeats", 0),
        kinds=log.kinds,
        verify={
            name: report.get(name) for name in ("outcomes", "counts", "duration_s", "exit_code", "problem")
        },
    )
