"""What Kafka deleted before anybody processed it, and the beginning of a topic that every worker reads whole."""

import pytest

from tests.retention.archived_toy import ArchivedToy, log_of

pytestmark = pytest.mark.long


def test_inputs_that_expired_unprocessed_are_processed_from_the_archive(archived_toy: ArchivedToy) -> None:
    toy = archived_toy.toy
    archived_toy.use_archive()
    toy.start()
    toy.add(200, keys=20)
    toy.wait_until_done()
    toy.stop()
    toy.add(1_000, keys=20)
    toy.send(toy.commands, "AddToCounter", "counter-1", {"amount": -1})
    assert toy.producer.flush(60) == 0
    archived_toy.archive_all()
    archived_toy.delete([toy.commands, toy.results], share=0.9)
    toy.add(300, keys=20)
    toy.start()
    toy.wait_until_done()
    toy.stop()
    archived_toy.archive_all()
    assert "reading the archive" in log_of(toy)
    assert toy.check()["CounterRaised"] == 1_500, "each once, the refused one never"
    assert toy.check_state() == toy.partitions
    report = archived_toy.verify()
    assert report.findings == ()
    assert report.problem == ""
    assert report.counts["inputs"] == 1_501


def test_inputs_that_nobody_has_any_more_stop_the_partition(archived_toy: ArchivedToy) -> None:
    toy = archived_toy.toy
    toy.start()
    toy.add(50, keys=20)
    toy.wait_until_done()
    toy.stop()
    toy.add(50, keys=20)
    archived_toy.delete([toy.commands, toy.results])
    toy.start_stopped()
    assert "records expired before they were processed" in log_of(toy)


def test_a_topic_that_is_read_whole_begins_in_the_archive(archived_toy: ArchivedToy) -> None:
    """A block that Kafka has no more still blocks; one that came after it too."""
    toy = archived_toy.toy
    archived_toy.use_archive()
    toy.producer.produce(toy.blocks, b"", b"counter-8")
    toy.producer.flush()
    archived_toy.archive_all()
    archived_toy.delete([toy.blocks])
    toy.producer.produce(toy.blocks, b"", b"counter-9")
    for number in (7, 8, 9):
        toy.send(toy.commands, "AddToCounter", f"counter-{number}", {"amount": 1})
    toy.producer.flush()
    toy.start()
    toy.wait_until_done()
    toy.stop()
    toy.check()
    reasons = sorted(letter["reason"] for letter in toy.dead_letters())
    assert reasons == ["counter-8 is blocked", "counter-9 is blocked"]
