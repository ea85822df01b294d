"""Very many texts in few bytes: what comes twice and what never came, in memory and out of it."""

import pytest

from neural_hive.replay.fingerprints import Fingerprints


@pytest.mark.parametrize("in_memory", [1_000_000, 300])
def test_repeated_and_missing_are_found(in_memory: int) -> None:
    bag = Fingerprints(in_memory)
    for number in range(2_000):
        bag.add(f"id-{number}")
    assert bag.repeated() == set()
    bag.add("id-7")
    bag.add("id-7")
    bag.add("id-1999")
    assert bag.repeated() == {hash("id-7"), hash("id-1999")}
    assert sorted(bag.missing(["id-3", "other", "id-1999", "another"])) == ["another", "other"]
    bag.close()
