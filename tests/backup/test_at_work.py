"""A backup of a system at work shows a moment that was: its restored copy verifies, and goes on where it stood."""

import threading
from pathlib import Path

import pytest

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.projections.http_store import HttpStore
from neural_hive.replay.backup.restored import Target, restore
from neural_hive.replay.backup.saved import Source, back_up
from neural_hive.replay.everything import Request, verify_everything
from neural_hive.replay.report import Report
from neural_hive.schemas.topics import Kind
from tests.kernel.conftest import ToyFactory
from tests.toy.harness import Toy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
BACKUPS = 3


def verified(toy: Toy, bootstrap: str, states: Path | None) -> Report:
    report = verify_everything(Request((toy.system,), {"bootstrap.servers": bootstrap}, None, states))
    assert report.problem == ""
    assert report.findings == ()
    return report


def test_a_system_is_saved_while_it_works(
    make_toy: ToyFactory, other_kafka: EmbeddedKafka, store: HttpStore, tmp_path: Path
) -> None:
    toy = make_toy(2, results_partitions=3)  # the results come by a router
    toy.start()
    toy.add(200, keys=20)
    toy.wait_until_done()
    folder, working = tmp_path / "backup", threading.Event()
    topics = {**dict.fromkeys(toy.event_topics, Kind.EVENT), "dead.letters": Kind.DEAD}
    source = Source(
        {"bootstrap.servers": toy.bootstrap, "log_level": 2}, (toy.system,), topics, None, tmp_path, ""
    )

    def work() -> None:
        while not working.wait(0.05):
            toy.add(30, keys=20)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        manifests = [back_up(source, folder) for _ in range(BACKUPS)]
    finally:
        working.set()
        worker.join()
    assert all(manifest.warnings[1:] == () for manifest in manifests)  # the first: no registry is here
    assert manifests[0].records < manifests[-1].records
    toy.wait_until_done()
    toy.stop()

    second = {"bootstrap.servers": other_kafka.bootstrap, "log_level": 2}
    manifest = restore(folder, Target(second, 1, store, {}, tmp_path / "restored"))
    before = verified(toy, other_kafka.bootstrap, None)
    assert before.counts["events"] > 200
    copy = toy.elsewhere(second, tmp_path / "restored")
    try:
        copy.start()
        copy.wait_until_done()
    finally:
        copy.stop()
    after = verified(toy, other_kafka.bootstrap, copy.folder)
    saved_inputs = sum(
        part.records
        for topic in manifest.topics
        if topic.name in (toy.commands, toy.results)
        for part in topic.partitions
    )
    assert after.counts["inputs"] >= saved_inputs > before.counts["events"] // 2
    assert copy.check_state() == copy.partitions
