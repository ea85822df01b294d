"""A view of the past has the value of its place, however one comes there."""

import random

from hypothesis import given
from hypothesis import strategies as st

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.rerun.past_views import STEPS_BACK_MAX, PastTopic
from neural_hive.replay.rerun.recording import Recording, Stretch
from neural_hive.replay.rerun.then.past import KEPT_EVERY, Past
from neural_hive.streams.kernel.broadcast import View

RECORDS = 3 * KEPT_EVERY
VIEW: View[frozenset[tuple[int, int]]] = View(
    "said", frozenset(), lambda value, record: value | {(record.partition(), record.offset())}
)


def recording(seed: int) -> Recording:
    """Two partitions, whose records came in turn."""
    chance, held = random.Random(seed), [Stretch(), Stretch()]
    for time_ms in range(RECORDS):
        stretch = held[number := chance.randrange(2)]
        stretch.records.append(Record("said", number, stretch.end, time_ms, b"", b"", ()))
        stretch.end += chance.choice((1, 1, 2))  # markers have offsets too
    return Recording({"said": held})


places = st.lists(st.tuples(st.integers(0, RECORDS), st.integers(0, RECORDS)), min_size=1, max_size=8)


@given(st.integers(0, 5), places)
def test_any_way_leads_to_the_same_value(seed: int, wanted: list[tuple[int, int]]) -> None:
    said = recording(seed)
    topic = PastTopic("said", said)
    view = Past(VIEW, "said", topic.begins, topic.partitions)
    for positions in wanted:
        expected = {(r.partition, r.offset) for r in said.all("said") if r.offset < positions[r.partition]}
        assert view.at(positions) == expected


def test_a_topic_that_nobody_knew_then_has_said_nothing() -> None:
    topic = PastTopic("unknown", recording(1))
    view = Past(VIEW, "unknown", topic.begins, topic.partitions)
    assert topic.begins == topic.as_of(RECORDS) == ()
    assert view.at(()) == frozenset() and list(topic.near(())) == []
    assert topic.known().partitions == []


def test_what_is_near_goes_back_record_by_record_and_then_on() -> None:
    said = recording(1)
    topic = PastTopic("said", said)
    view = Past(VIEW, "said", topic.begins, topic.partitions)
    here = topic.as_of(RECORDS // 2)
    count = len(view.at(here))
    assert count == RECORDS // 2 + 1
    near = [len(view.at(positions)) for positions in topic.near(here)]
    assert near[:STEPS_BACK_MAX] == list(range(count - 1, count - STEPS_BACK_MAX - 1, -1))
    assert near[STEPS_BACK_MAX:] == list(range(count + 1, count + 1 + len(near) - STEPS_BACK_MAX))
