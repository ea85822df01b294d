"""Very many texts in few bytes: what comes twice and what never came, in memory and out of it."""

from pathlib import Path

import pytest

from neural_hive.replay.fingerprints import Fingerprints, keyed, missing


@pytest.mark.parametrize("in_memory", [1_000_000, 300])
def test_repeated_and_missing_are_found(in_memory: int, tmp_path: Path) -> None:
    bag = Fingerprints(tmp_path / "bag", in_memory=in_memory)
    for number in range(2_000):
        bag.add(f"id-{number}")
    assert bag.repeated() == set()
    bag.add("id-7")
    bag.add("id-7")
    bag.add("id-1999")
    assert bag.repeated() == {hash("id-7"), hash("id-1999")}
    assert sorted(missing([bag], hash, ["id-3", "other", "id-1999", "another"])) == ["another", "other"]


def test_bags_that_others_have_saved_count_together(tmp_path: Path) -> None:
    hash_of = keyed(b"k" * 16)
    for number in range(3):
        bag = Fingerprints(tmp_path / f"bag-{number}", hash_of, in_memory=100)
        for each in range(number, 1_000, 4):
            bag.add(f"id-{each}")
        bag.save()
    saved = [Fingerprints.saved(tmp_path / f"bag-{number}", hash_of) for number in range(3)]
    absent = missing(saved, hash_of, [f"id-{each}" for each in range(1_000)])
    assert sorted(absent) == sorted(f"id-{each}" for each in range(3, 1_000, 4))


def test_a_hash_with_another_key_is_another_one() -> None:
    assert keyed(b"a" * 16)("text") == keyed(b"a" * 16)("text") != keyed(b"b" * 16)("text")
