"""Many processes find what one finds; one that dies is no clean report, and none is left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import msgspec
import pytest

from neural_hive.replay.everything import How, verify_everything
from neural_hive.replay.report import Check, Report
from tests.replay.conftest import LogFactory
from tests.replay.opened import names_of, request_of
from tests.replay.test_verify import _edit_payload_byte, _fork, _garbage, _header, _on, _rekey, _swap
from tests.replay.written_log import Log
from tests.toy.harness import ROOT

__all__: list[str] = []
TAMPERED = {
    "right": None,
    "edited byte": _edit_payload_byte,
    "missing version": _on(1, lambda e: []),
    "duplicate": _on(1, lambda e: [e, e]),
    "swapped": _swap,
    "fork": _on(1, _fork),
    "wrong key": _on(1, _rekey),
    "wrong header": _on(1, _header),
    "garbage": _on(1, _garbage),
    "foreign event id": _on(1, lambda e: [e.edited(event_id="00000000-0000-5000-8000-000000000000")]),
    "future cause": _on(0, lambda e: [e.edited(source_offset=99)]),
}


@pytest.fixture
def log(new_log: LogFactory) -> Log:
    """A right one; `dead.letters`, which systems write to, is there."""
    log = new_log()
    log.write(workflows=2, rounds=2)
    return log


def _same(report: Report) -> Report:
    """What a report says of the log, without when it was made."""
    looked = tuple(msgspec.structs.replace(each, began_at="", ended_at="") for each in report.looked_at)
    return msgspec.structs.replace(report, duration_s=0, looked_at=looked)


def test_many_processes_find_what_one_finds(new_log: LogFactory, dead_letters: None) -> None:
    logs = []
    for tamper in TAMPERED.values():
        logs.append(new_log())
        logs[-1].write(workflows=1 if tamper else 4, rounds=2, tamper=tamper)
    opening = partial(request_of, logs[0].config, [names_of(each) for each in logs])
    alone = verify_everything(opening())
    told: list[tuple[str, int, int]] = []
    request = msgspec.structs.replace(opening(), told=lambda *said: told.append(said))
    together = verify_everything(request, How(3, opening))
    assert _same(together) == _same(alone)
    assert alone.problem == ""
    for number, name in enumerate(TAMPERED):
        topics = (logs[number].tickets, logs[number].workflows, logs[number].inputs)
        found = [f for f in alone.findings if f.place.startswith(tuple(f"{topic}:" for topic in topics))]
        assert bool(found) == (name != "right"), name
    events = {topic for each in logs for topic in (each.tickets, each.workflows)}
    examined = {outcome.check: outcome.examined for outcome in alone.outcomes}
    assert sum(count for topic, _, count in told if topic in events) >= examined[Check.DECODE]
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_is_said_and_no_clean_report(log: Log, dead_letters: None) -> None:
    opening = partial(request_of, log.config, [names_of(log)], "dies")
    report = verify_everything(request_of(log.config, [names_of(log)], "nothing"), How(2, opening))
    assert report.exit_code == 2
    assert f"by signal 9 while it looked at decisions of {log.name}" in report.problem
    assert multiprocessing.active_children() == []


def test_what_nobody_has_foreseen_ends_all_of_them(log: Log, dead_letters: None) -> None:
    opening = partial(request_of, log.config, [names_of(log)], "breaks")
    with pytest.raises(RuntimeError, match="ZeroDivisionError: of all things"):
        verify_everything(request_of(log.config, [names_of(log)], "nothing"), How(2, opening))
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_no_process_is_left(log: Log, dead_letters: None, kill: signal.Signals, tmp_path: Path) -> None:
    names = names_of(log)
    command = [sys.executable, "-m", "tests.replay.opened", log.config["bootstrap.servers"]]
    command += [names.name, names.inputs, names.tickets, names.workflows]
    sleeps = tmp_path / "sleeps"
    environment = {**os.environ, "TEST_SLEEPS": str(sleeps), "TMPDIR": str(tmp_path)}
    running = subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        _until(sleeps.exists, running)
        if kill is signal.SIGINT:  # as a terminal does it
            os.killpg(running.pid, kill)
        else:
            running.send_signal(kill)
        assert running.wait(60) != 0
        _until(lambda: not _is_group_there(running.pid))
        if kill is signal.SIGINT:
            assert [file.name for file in tmp_path.iterdir()] == ["sleeps"], "temporary folders are gone"
    finally:
        if _is_group_there(running.pid):
            os.killpg(running.pid, signal.SIGKILL)


def _until(holds: object, running: "subprocess.Popen[bytes] | None" = None, wait_s: float = 120) -> None:
    assert callable(holds)
    until = time.monotonic() + wait_s
    while not holds():
        assert time.monotonic() < until
        assert running is None or running.poll() is None, "it has ended"
        time.sleep(0.05)


def _is_group_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
