"""When the log is not what the state was made from, the partition stops and says so."""

import io
import shutil
import subprocess

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console

from neural_hive.connectors.personal import Personal, Shown
from neural_hive.replay.reader import KafkaSource
from neural_hive.replay.report import ACCEPTABLE, Check, Report, render
from neural_hive.replay.verify import Verification, target_of
from neural_hive.streams.kernel.acceptance import FILE, Acceptance, accept
from tests.kernel.conftest import ToyFactory
from tests.privacy.memory_keys import MemoryKeys, hidden
from tests.toy.harness import Toy

ALICE = hidden("alice")


def _stops(toy: Toy, reason: str) -> None:
    """Its one partition does, and the process lives on."""
    log = toy.start_stopped()
    assert reason in log
    assert "Traceback" not in log
    toy.stop()


def _filled(make_toy: ToyFactory) -> Toy:
    toy = make_toy(1)
    toy.start()
    toy.add(100)
    toy.wait_until_done()
    toy.stop()
    return toy


def test_events_deleted_with_their_topic(make_toy: ToyFactory) -> None:
    toy = _filled(make_toy)
    admin = AdminClient(toy.config)
    topic = toy.event_topics[0]
    admin.delete_topics([topic])[topic].result(30)
    create_again(admin, topic)
    _stops(toy, "deleted and made anew")


def test_a_person_accepts_the_damage(make_toy: ToyFactory) -> None:
    """The old state is kept aside, the word is the first event after the damage, and it counts for ever."""
    toy = _filled(make_toy)
    admin = AdminClient(toy.config)
    topic = toy.event_topics[0]
    admin.delete_topics([topic])[topic].result(30)
    create_again(admin, topic)
    _stops(toy, "deleted and made anew")
    (folder,) = toy.folder.glob("toy*/worker-0/0")
    accept(folder, Acceptance("the disk was lost", ALICE))
    before = set(toy.sent)
    toy.sent.clear()
    toy.start()
    toy.add(50)
    toy.wait_until_done()
    toy.stop()
    _is_accepted(toy)
    events = [(e, p) for _, e, p in toy.events(topic)]
    assert events[0][0].event_type == "PartitionLogAccepted"
    assert events[0][1]["reason"] == "the disk was lost"
    assert events[0][1]["requested_by"] == ALICE
    assert len(list(folder.glob("*.before-1"))) == 1
    assert not (folder / FILE).exists()
    for store in folder.iterdir():
        shutil.rmtree(store)
    toy.start()  # from nothing: the gap is passed over, for the log says that it was accepted
    toy.add(50)
    toy.wait_until_done()
    toy.stop()
    raised = {e.causation_id for _, e, _ in toy.events(topic) if e.event_type == "CounterRaised"}
    assert raised == toy.sent
    assert before.isdisjoint(toy.sent)


def _is_accepted(toy: Toy) -> None:
    """What is missing before the person's word is told with it, and is no finding any more."""
    report = _verified(toy)
    (word,) = report.accepted
    assert (word.by, word.reason) == (ALICE, "the disk was lost")
    assert word.place == f"{toy.event_topics[0]}:0:0"
    assert word.findings_count > 0
    assert {finding.check for finding in word.findings} <= ACCEPTABLE
    assert report.findings == ()
    assert report.exit_code == 0
    console = Console(file=io.StringIO(), width=200)
    render(Personal(MemoryKeys()).shown_in(report, Shown.SHORT), console)
    assert f"Accepted by enc:{ALICE[7:15]}…" in console.file.getvalue()  # type: ignore[attr-defined]


def create_again(admin: AdminClient, topic: str) -> None:
    for _ in range(50):
        try:
            admin.create_topics([NewTopic(topic, 1, -1)])[topic].result(30)
            return
        except Exception as error:
            if "exists" not in str(error):
                raise
            subprocess.run(["sleep", "0.2"], check=True)


def test_a_foreign_event_in_the_log(make_toy: ToyFactory) -> None:
    """It cannot be taken out of Kafka; a person may say that it shall not count."""
    toy = _filled(make_toy)
    first = next(iter(toy.events(toy.event_topics[0])))[0]
    producer = Producer(toy.config)
    producer.produce(toy.event_topics[0], first.value, first.key, 0)
    producer.flush()
    _stops(toy, "two events claim one place")
    (folder,) = toy.folder.glob("toy*/worker-0/0")
    accept(folder, Acceptance("a stranger wrote it", ALICE))
    for _ in range(2):
        toy.start()
        toy.add(50)
        toy.wait_until_done()
        toy.stop()
        report = _verified(toy)
        assert (report.findings, report.problem) == ((), "")
        (word,) = report.accepted
        assert (word.reason, word.findings_count) == ("a stranger wrote it", 1)
        assert {o.check: o.examined for o in report.outcomes}[Check.STATE] > 100
        shutil.rmtree(folder)  # and then all of it is folded anew
    raised = [
        e.causation_id for _, e, _ in toy.events(toy.event_topics[0]) if e.event_type == "CounterRaised"
    ]
    assert len(raised) == 201
    assert set(raised) == toy.sent


def _verified(toy: Toy) -> Report:
    states = toy.folder if any(toy.folder.glob("toy*/worker-*/0/*")) else None
    verification = Verification(target_of(toy.system), KafkaSource(toy.config), None, toy.system, states)
    verification.run()
    return verification.report()


def test_offsets_that_are_gone(make_toy: ToyFactory) -> None:
    toy = _filled(make_toy)
    _delete_group(toy, toy.system.name)
    _stops(toy, "no committed offset")


def test_a_routers_offsets_that_are_gone(make_toy: ToyFactory) -> None:
    toy = make_toy(1, results_partitions=2)
    toy.start()
    toy.add(100)
    toy.wait_until_done()
    toy.stop()
    _delete_group(toy, f"{toy.system.name}.router.{toy.results}")
    _stops(toy, f"has read {toy.results} before, and has no committed offset")


def _delete_group(toy: Toy, group: str) -> None:
    admin = AdminClient(toy.config)
    for _ in range(100):  # the group must be empty first: its member left without a word
        try:
            admin.delete_consumer_groups([group])[group].result(30)
            return
        except Exception as error:
            if "NON_EMPTY" not in str(error):
                raise
            subprocess.run(["sleep", "0.2"], check=True)


def test_an_input_made_anew_begins_anew(make_toy: ToyFactory) -> None:
    """Kafka forgets with a topic that it was ever read."""
    toy = _filled(make_toy)
    admin, topic = AdminClient(toy.config), f"toy.repartition{toy.suffix}"
    admin.delete_topics([topic])[topic].result(30)
    create_again(admin, topic)
    toy.start()
    toy.add(50)
    toy.wait_until_done()
    toy.stop()
    assert toy.check()["CounterRaised"] == 150
    assert f"'{topic}': 0" in (toy.folder / "worker-1.log").read_text()
