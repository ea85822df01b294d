"""Who follows a partition is told how it stands when it opens, also after a doubt, and that it is closed."""

from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from neural_hive.schemas.codec import decode
from neural_hive.streams.kernel.partition import Partition, Place
from neural_hive.streams.kernel.system import Standing
from neural_hive.streams.runner import cluster_of
from tests.kernel.conftest import ToyFactory
from tests.toy.harness import Toy

COUNTERS = 20


class Follower:
    """Keeps what it is told, and what it could read of the state at that moment."""

    def __init__(self, toy: Toy) -> None:
        self._counters = toy.system.aggregates[0]
        self.heard: list[Any] = []
        self.totals: dict[str, int] = {}
        self.timers: list[tuple[str, str, str]] = []
        self.ids: list[str] = []

    def opened(self, partition: int, standing: Standing) -> None:
        self.heard.append(("opened", partition))
        self.timers += standing.timers()
        self.ids += standing.ids(self._counters.name)
        for number in range(COUNTERS):
            counter = standing.load(self._counters, f"counter-{number}")
            if counter is not None:
                self.totals[f"counter-{number}"] = counter.total

    def closed(self, partition: int) -> None:
        self.heard.append(("closed", partition))


def test_a_partition_that_opens_shows_its_state(make_toy: ToyFactory, tmp_path: Path) -> None:
    toy = make_toy()
    toy.start()
    for number in range(COUNTERS):
        toy.send(toy.commands, "AddToCounter", f"counter-{number}", {"amount": number + 1})
    toy.send(toy.commands, "StartCountdown", "counter-3", {"delay_ms": 3_600_000})
    toy.producer.flush()
    toy.wait_until_done()
    toy.stop()

    follower = Follower(toy)
    cluster = cluster_of(toy.config, toy.system)
    failing: Any = lambda *_: 1 / 0  # noqa: E731 (what one of them raises changes nothing)
    system = msgspec.structs.replace(
        toy.system, opened=[failing, follower.opened], closed=[failing, follower.closed], views={}
    )
    read = partial(decode, kind="message")
    for number in range(toy.partitions):
        folder = tmp_path / "followed" / str(number)
        place = Place(
            toy.config, folder, cluster.topic_ids, cluster.partitions_of, "logic", "state", 30.0, read
        )
        partition = Partition(system, number, place, {})
        partition.open()
        partition.open()  # as after a doubt
        partition.close()
        partition.close()
    told = ["opened", "closed", "opened", "closed"]
    assert follower.heard == [(what, number) for number in range(toy.partitions) for what in told]
    assert follower.totals == {f"counter-{number}": number + 1 for number in range(COUNTERS)}
    assert sorted(follower.ids) == sorted(list(follower.totals) * 2)
    assert follower.timers == [("counter", "counter-3", "countdown")] * 2
