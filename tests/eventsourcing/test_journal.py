"""One writer, the log first: take-over, recovery, and answers that never came."""

import shutil
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InternalError,
    Notification,
    OperationalError,
    StoredEvent,
    Tracking,
)
from eventsourcing.utils import Environment

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import read_committed
from neural_hive.eventsourcing.errors import Replaced
from neural_hive.eventsourcing.factory import Factory
from neural_hive.eventsourcing.journal import LOOK_S, Journal
from neural_hive.eventsourcing.recorders import LogApplicationRecorder, LogProcessRecorder
from neural_hive.eventsourcing.topics import topic_name
from neural_hive.eventsourcing.writing import Role
from neural_hive.streams.kernel.partition_log import Fenced, Indefinite
from neural_hive.streams.kernel.rocks import DiskFull
from tests.eventsourcing.conftest import FactoryOf

Commit = Callable[[list[Any], Mapping[str, int]], dict[str, int]]


def event(version: int = 1, originator_id: UUID | str | None = None, topic: str = "t") -> StoredEvent:
    return StoredEvent(uuid4() if originator_id is None else originator_id, version, topic, b"{}")


def recorder_of(factory: Factory) -> LogProcessRecorder:
    recorder = factory.process_recorder()
    assert isinstance(recorder, LogProcessRecorder)
    return recorder


def ids(recorder: LogApplicationRecorder) -> list[int]:
    return [n.id for n in recorder.select_notifications(None, 1_000_000)]


def wait_ids(recorder: LogApplicationRecorder, expected: list[int]) -> None:
    """Kafka shows others a transaction some milliseconds after its writer has heard of the commit."""
    until = time.monotonic() + 30
    while ids(recorder) != expected and time.monotonic() < until:
        time.sleep(0.01)
    assert ids(recorder) == expected


def test_a_second_writer_takes_over_and_the_first_is_told(factory_of: FactoryOf, tmp_path: Path) -> None:
    first, second = recorder_of(factory_of()), recorder_of(factory_of(tmp_path / "other"))
    originator_id = uuid4()
    assert first.insert_events([event(1, originator_id)]) == [1]
    with pytest.raises(IntegrityError):  # it has taken over, and knows what was there
        second.insert_events([event(1, originator_id)])
    assert second.insert_events([event(2, originator_id)]) == [2]
    for _ in range(2):
        with pytest.raises(Replaced, match="another process has begun to write"):
            first.insert_events([event(3, originator_id)])
    assert second.insert_events([event(3, originator_id)]) == [3]
    wait_ids(first, [1, 2, 3])
    assert [e.originator_version for e in first.select_events(originator_id)] == [1, 2, 3]
    anew = recorder_of(factory_of())
    assert anew.insert_events([event(4, originator_id)]) == [4]
    with pytest.raises(Replaced):
        second.insert_events([event(5, originator_id)])


def test_a_writer_that_only_reads_notices_that_it_was_replaced(factory_of: FactoryOf, tmp_path: Path) -> None:
    first, second = recorder_of(factory_of()), recorder_of(factory_of(tmp_path / "other"))
    first.insert_events([event()])
    with first.subscribe(gt=1) as subscription:
        second.insert_events([event()])
        assert next(subscription).id == 2
    assert first.journal.role is Role.REPLACED


def test_factories_of_one_process_share_the_log(factory_of: FactoryOf) -> None:
    first, second = factory_of(), factory_of()
    assert recorder_of(first).journal is recorder_of(second).journal
    assert recorder_of(first).insert_events([event()]) == [1]
    first.close()
    assert recorder_of(second).insert_events([event()]) == [2]
    kept = recorder_of(second)
    second.close()
    with pytest.raises(OperationalError, match="was closed"):
        kept.insert_events([event()])


def test_who_forgets_to_close_lets_go(variables: dict[str, str], name: str) -> None:
    factory = Factory(Environment(name, variables))
    recorder = recorder_of(factory)
    recorder.insert_events([event()])
    folder, journal = recorder.journal._index.folder, weakref.ref(recorder.journal)
    del factory, recorder
    assert journal() is None
    factory = Factory(Environment(name, variables))
    assert recorder_of(factory).journal._index.folder == folder
    factory.close()


def test_what_a_reader_sees(factory_of: FactoryOf, tmp_path: Path) -> None:
    writer, reader = recorder_of(factory_of()), recorder_of(factory_of(tmp_path / "other"))
    assert reader.max_notification_id() is None
    seen: list[Notification] = []

    def follow() -> None:
        with reader.subscribe(topics=["b"]) as subscription:
            for notification in subscription:
                seen.append(notification)
                if len(seen) == 3:
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    for topic in "ababaab":
        writer.insert_events([event(topic=topic)])
    thread.join(60)
    assert [n.id for n in seen] == [2, 4, 7]
    assert ids(reader) == ids(writer) == [1, 2, 3, 4, 5, 6, 7]
    assert reader.journal.role is Role.READER


def test_a_stop_ends_a_subscription_that_waits(factory_of: FactoryOf) -> None:
    subscription = recorder_of(factory_of()).subscribe()
    threading.Timer(0.3, subscription.stop).start()
    assert list(subscription) == []


def test_an_index_is_made_anew_or_brought_up_to_date(factory_of: FactoryOf, tmp_path: Path) -> None:
    factory = factory_of()
    recorder = recorder_of(factory)
    originator_id = uuid4()
    recorder.insert_events([event(1, originator_id), event(2, originator_id)], tracking=Tracking("up", 5))
    folder = recorder.journal._index.folder
    factory.close()
    behind = tmp_path / "behind"
    shutil.copytree(folder, behind)
    factory = factory_of()
    recorder_of(factory).insert_events([event(3, originator_id)], tracking=Tracking("up", 6))
    factory.close()

    for change in (lambda: None, lambda: behind.rename(folder)):
        shutil.rmtree(folder)
        change()
        factory = factory_of()
        recorder = recorder_of(factory)
        wait_ids(recorder, [1, 2, 3])
        assert [e.originator_version for e in recorder.select_events(originator_id)] == [1, 2, 3]
        assert recorder.max_tracking_id("up") == 6
        with pytest.raises(IntegrityError):
            recorder.insert_events([event(3, originator_id)])
        factory.close()


def test_a_damaged_index_is_made_anew(factory_of: FactoryOf) -> None:
    factory = factory_of()
    recorder_of(factory).insert_events([event()])
    folder = recorder_of(factory).journal._index.folder
    factory.close()
    manifest = next((folder / "rows").glob("MANIFEST-*"))
    manifest.write_bytes(manifest.read_bytes()[:-3] + b"???")
    wait_ids(recorder_of(factory_of()), [1])
    assert (folder / "rows.damaged").exists()


def answered(journal: Journal, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Commit], Commit]) -> None:
    """Puts something between a journal and Kafka."""
    monkeypatch.setattr(journal._kafka, "commit", answer(journal._kafka.commit))


def commits_and_is_silent(commit: Commit) -> Commit:
    def silent(outputs: list[Any], offsets: Mapping[str, int]) -> dict[str, int]:
        commit(outputs, offsets)
        raise Indefinite("no answer")

    return silent


def is_silent(commit: Commit) -> Commit:
    def silent(outputs: list[Any], offsets: Mapping[str, int]) -> dict[str, int]:
        raise Indefinite("no answer")

    return silent


def test_a_commit_whose_answer_was_lost_has_happened(
    factory_of: FactoryOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = recorder_of(factory_of())
    recorder.insert_events([event()])
    with monkeypatch.context() as patch:
        answered(recorder.journal, patch, commits_and_is_silent)
        assert recorder.insert_events([event(), event()], tracking=Tracking("up", 1)) == [2, 3]
    assert recorder.insert_events([event()], tracking=Tracking("up", 2)) == [4]
    assert ids(recorder) == [1, 2, 3, 4]


def test_a_commit_that_did_not_happen_is_told(factory_of: FactoryOf, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, again = recorder_of(factory_of()), event()
    recorder.insert_events([event()])
    with monkeypatch.context() as patch:
        answered(recorder.journal, patch, is_silent)
        with pytest.raises(OperationalError, match="was not recorded"):
            recorder.insert_events([again])
    assert recorder.insert_events([again]) == [2]


def test_a_writer_that_is_fenced_after_its_commit_knows_that_it_happened(
    factory_of: FactoryOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = recorder_of(factory_of()), recorder_of(factory_of(tmp_path / "other"))
    first.insert_events([event()])

    def overtaken(commit: Commit) -> Commit:
        def commit_late(outputs: list[Any], offsets: Mapping[str, int]) -> dict[str, int]:
            commit(outputs, offsets)
            second.insert_events([event()])
            raise Fenced("late")

        return commit_late

    with monkeypatch.context() as patch:
        answered(first.journal, patch, overtaken)
        assert first.insert_events([event()]) == [2]
    with pytest.raises(Replaced):
        first.insert_events([event()])
    assert ids(second) == [1, 2, 3]
    wait_ids(first, [1, 2, 3])


def test_the_index_fails_after_the_commit(factory_of: FactoryOf, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = recorder_of(factory_of())
    recorder.insert_events([event()])

    def fails(draft: Any) -> None:
        raise DiskFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(recorder.journal._index, "write", fails)
        assert recorder.insert_events([event()]) == [2]
        with pytest.raises(OperationalError, match="no room"):
            recorder.insert_events([event()])
    assert recorder.insert_events([event()]) == [3]
    assert ids(recorder) == [1, 2, 3]


def test_threads_insert_at_once(factory_of: FactoryOf, kafka: EmbeddedKafka, name: str) -> None:
    recorder = recorder_of(factory_of())
    originators, versions, threads = [uuid4() for _ in range(3)], 12, 8
    won = Counter[tuple[UUID, int]]()

    def contend(thread: int) -> None:
        for version in range(versions):
            for originator_id in originators:
                try:
                    recorder.insert_events([event(version, originator_id), event()])
                    won[originator_id, version] += 1
                except IntegrityError:
                    pass

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(contend, range(threads)))
    assert set(won.values()) == {1} and len(won) == versions * len(originators)
    notifications = recorder.select_notifications(None, 1_000_000)
    assert [n.id for n in notifications] == list(range(1, 2 * len(won) + 1))
    pairs = zip(notifications[::2], notifications[1::2], strict=True)
    assert all(one.originator_id in originators and other.originator_version == 1 for one, other in pairs)
    config = {"bootstrap.servers": kafka.bootstrap}
    records = list(read_committed(config, topic_name(name), 0, 0, None))
    assert len(records) == len(notifications)


def test_inserts_that_wait_share_a_transaction(
    factory_of: FactoryOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, transactions = recorder_of(factory_of()), list[int]()
    recorder.insert_events([event()])

    def counted(commit: Commit) -> Commit:
        def count(outputs: list[Any], offsets: Mapping[str, int]) -> dict[str, int]:
            transactions.append(len(outputs))
            return commit(outputs, offsets)

        return count

    answered(recorder.journal, monkeypatch, counted)
    taken = uuid4()
    with recorder.journal._lock:
        pool = ThreadPoolExecutor(5)
        waiting = [pool.submit(recorder.insert_events, [event(1, taken)]) for _ in range(2)]
        waiting += [pool.submit(recorder.insert_events, [event(), event()]) for _ in range(3)]
        while len(recorder.journal._groups._waiting) < 4:
            pass
    errors = [future.exception(30) for future in waiting]
    assert sum(isinstance(error, IntegrityError) for error in errors[:2]) == 1 and errors[2:] == [None] * 3
    assert sum(transactions) == 7 and len(transactions) == 2  # what came first, and what came meanwhile


def test_what_cannot_be_recorded(factory_of: FactoryOf) -> None:
    recorder = recorder_of(factory_of())
    for wrong in (event(-1), event(2**63), event(originator_id="x" * 70_000)):
        with pytest.raises(DataError):
            recorder.insert_events([event(), wrong])
    with pytest.raises(DataError, match="bytes"):
        recorder.insert_events([event(), StoredEvent(uuid4(), 1, "t", bytes(9 << 20))])
    assert recorder.insert_events([StoredEvent(uuid4(), 1, "t", bytes(7 << 20))]) == [1]


def test_ids_that_are_texts(factory_of: FactoryOf) -> None:
    recorder, own = recorder_of(factory_of()), uuid4()
    texts = ["", "a", "a\0", "a\0\0\0\0\0\0\0\0\1", "ä", "aa", own]
    for text in texts:
        recorder.insert_events([event(v, text) for v in (0, 1, 300)])
    for text in texts:
        found = recorder.select_events(text)
        assert [(e.originator_id, e.originator_version) for e in found] == [(text, v) for v in (0, 1, 300)]
        assert [e.originator_version for e in recorder.select_events(text, desc=True)] == [300, 1, 0]
        assert [e.originator_version for e in recorder.select_events(text, gt=0, lte=300, limit=1)] == [1]
        assert recorder.select_events(text, gt=300) == recorder.select_events(text, lte=-1) == []
    with pytest.raises(IntegrityError):  # a UUID and its text are one id
        recorder.insert_events([event(1, str(own))])


def test_a_record_of_somebody_else_is_refused(
    factory_of: FactoryOf, tmp_path: Path, kafka: EmbeddedKafka, name: str
) -> None:
    recorder = recorder_of(factory_of())
    recorder.insert_events([event()])
    stranger = Producer({"bootstrap.servers": kafka.bootstrap})
    stranger.produce(topic_name(name), b"nonsense", partition=0)
    stranger.flush(30)
    with pytest.raises(InternalError, match=r"at offset \d+: .*Confluent wire format"):
        factory_of(tmp_path / "other").application_recorder()


def test_a_log_that_was_made_anew_is_refused(factory_of: FactoryOf, kafka: EmbeddedKafka, name: str) -> None:
    factory = factory_of()
    recorder_of(factory).insert_events([event()])
    factory.close()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.delete_topics([topic_name(name)])[topic_name(name)].result(30)
    with pytest.raises(InternalError, match="made anew"):
        factory_of().application_recorder()


def test_how_often_a_writer_looks_for_others(factory_of: FactoryOf, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = recorder_of(factory_of())
    recorder.insert_events([event()])
    asked = list[float]()
    end = recorder.journal._end
    monkeypatch.setattr(recorder.journal, "_end", lambda: (asked.append(0.0), end())[1])
    recorder.journal._look_at = time.monotonic() + 10 * LOOK_S
    for _ in range(20):
        recorder.max_notification_id()
    assert asked == []
    recorder.journal._look_at = 0.0
    for _ in range(20):
        recorder.max_notification_id()
    assert len(asked) <= 2
