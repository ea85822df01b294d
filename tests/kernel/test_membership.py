"""Who was cut off comes back: it asks whose the partition is before it takes it over again."""

import pytest

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.streams.kernel.membership import owner_of
from neural_hive.streams.kernel.partition_log import Fenced, KafkaPartitionLog
from tests.kernel.conftest import ToyFactory


def test_who_comes_back_does_not_fence_the_new_owner(make_toy: ToyFactory, kafka: EmbeddedKafka) -> None:
    toy = make_toy()
    group = toy.system.name
    zombie = KafkaPartitionLog(toy.config, group, f"{group}.1", 1, 10, "a member of before")
    zombie.take_over()
    toy.start()
    toy.add(100)
    toy.wait_until_done()
    owner = owner_of(toy.config, group, 1)
    assert owner.startswith(group)

    with pytest.raises(Fenced, match=f"has given the partition to {owner}"):
        zombie.take_over()

    toy.add(100)
    toy.wait_until_done()
    assert toy.workers[0].poll() is None


def test_the_owner_may_take_over_again(make_toy: ToyFactory, kafka: EmbeddedKafka) -> None:
    toy = make_toy()
    toy.start()
    toy.add(100)
    toy.wait_until_done()
    group = toy.system.name
    owner = KafkaPartitionLog(toy.config, group, f"{group}.1", 1, 10, owner_of(toy.config, group, 1))
    owner.take_over()
    owner.take_over()
