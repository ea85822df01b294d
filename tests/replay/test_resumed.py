"""A verification that was broken off goes on where it was, with the same report; of another log or code it does not."""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from neural_hive.replay.everything import How, Request, verify_everything
from neural_hive.replay.report import Report
from neural_hive.replay.steps import journal as journals
from neural_hive.replay.steps.journal import JournalRefused
from neural_hive.replay.steps.results import DamagedResult
from tests.replay.conftest import LogFactory
from tests.replay.opened import names_of, request_of
from tests.replay.test_verify import _edit_payload_byte
from tests.replay.written_log import Log


@pytest.fixture
def log(new_log: LogFactory, dead_letters: None) -> Log:
    log = new_log()
    log.write(workflows=1, rounds=2, tamper=_edit_payload_byte)
    return log


def _request(log: Log, decide: str = "nothing", **changes: Any) -> Request:
    return msgspec.structs.replace(request_of(log.config, [names_of(log)], decide), **changes)


@pytest.fixture
def broken_off(log: Log, tmp_path: Path) -> Path:
    """The journal of a run in one process that ended at its last step."""
    folder = tmp_path / "journal"
    with pytest.raises(ZeroDivisionError):
        verify_everything(_request(log, "breaks"), How(journal=folder))
    return folder


@pytest.fixture
def killed(log: Log, tmp_path: Path) -> Path:
    """The journal of a run whose process was killed at its last step."""
    folder = tmp_path / "journal"
    opening = partial(request_of, log.config, [names_of(log)], "dies")
    report = verify_everything(_request(log), How(2, opening, folder))
    assert report.exit_code == 1, "what was found until then"
    assert "signal 9" in report.problem
    return folder


def _same(report: Report) -> Report:
    return msgspec.structs.replace(report, duration_s=0, looked_at=())


@pytest.mark.parametrize("processes", [1, 2])
def test_it_goes_on_where_it_was(log: Log, killed: Path, processes: int) -> None:
    told: list[str] = []
    request = _request(log, told=lambda topic, partition, count: told.append(topic))
    opening = partial(request_of, log.config, [names_of(log)], "nothing")
    report = verify_everything(request, How(processes, opening, killed))
    assert _same(report) == _same(verify_everything(_request(log)))
    assert report.exit_code == 1
    earlier = {each.what: each.earlier for each in report.looked_at}
    assert earlier.pop(f"decisions of {log.name}") is False
    assert all(earlier.values())
    assert not set(told) - {log.tickets, log.workflows}, "but for the last events no record is read again"
    assert len(told) <= 4
    assert not killed.exists(), "the next one begins anew"


def test_a_run_in_one_process_is_gone_on_with_too(log: Log, broken_off: Path) -> None:
    report = verify_everything(_request(log), How(journal=broken_off))
    assert sum(each.earlier for each in report.looked_at) == len(report.looked_at) - 1


def test_a_step_that_could_not_be_done_is_done_again(log: Log, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    log._producer.begin_transaction()
    log._producer.produce(log.tickets, b"waits", b"key", 0)
    log._producer.flush()
    first = verify_everything(_request(log, stall_s=1), How(journal=folder))
    assert "a transaction is open" in first.problem
    log._producer.abort_transaction(30)
    report = verify_everything(_request(log), How(journal=folder))
    assert (report.problem, report.findings_count) == ("", 1)
    earlier = [each.what for each in report.looked_at if each.earlier]
    assert f"dead letters of {log.name}" in earlier
    assert f"events of {log.name} 0" not in earlier


def _other_code(begun: Any) -> Any:
    return msgspec.structs.replace(begun, code="another")


def _another_event(begun: Any) -> Any:
    place, (offset, _) = next(iter(begun.tails.items()))
    return msgspec.structs.replace(begun, tails={**begun.tails, place: (offset, b"\0" * 32)})


def _beyond_the_end(begun: Any) -> Any:
    place, (_, digest) = next(iter(begun.tails.items()))
    return msgspec.structs.replace(begun, tails={**begun.tails, place: (1_000_000, digest)})


def _another_topic(begun: Any) -> Any:
    return msgspec.structs.replace(begun, topic_ids=dict.fromkeys(begun.topic_ids, "made-anew"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_other_code, "begun with other code"),
        (_another_event, "is another one"),
        (_beyond_the_end, "is gone"),
        (_another_topic, "topic .* was made-anew"),
    ],
)
def test_a_journal_that_does_not_fit_is_refused(
    log: Log, broken_off: Path, change: Callable[[Any], Any], why: str
) -> None:
    file = broken_off / "plan"
    begun = msgspec.msgpack.decode(file.read_bytes()[32:], type=journals._Begun)
    body = msgspec.msgpack.encode(change(begun))
    file.write_bytes(sha256(body).digest() + body)
    with pytest.raises(JournalRefused, match=why) as refused:
        verify_everything(_request(log), How(journal=broken_off))
    assert "verify from the beginning" in str(refused.value)
    assert file.exists()


def test_a_journal_of_other_options_or_damaged_is_refused(log: Log, broken_off: Path) -> None:
    with pytest.raises(JournalRefused, match="other options"):
        verify_everything(_request(log, topics=(log.tickets,)), How(journal=broken_off))
    (result,) = broken_off.glob("inputs.*.done")
    result.write_bytes(result.read_bytes()[:-1] + b"\0")
    with pytest.raises(DamagedResult, match="verify anew"):
        verify_everything(_request(log), How(journal=broken_off))
    (broken_off / "plan").write_bytes(b"\0" * 100)
    with pytest.raises(JournalRefused, match="damaged"):
        verify_everything(_request(log), How(journal=broken_off))


def test_a_folder_of_others_is_left_alone(log: Log, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(JournalRefused, match=r"holds mine\.txt"):
        verify_everything(_request(log), How(journal=tmp_path))
    assert (tmp_path / "mine.txt").exists()
