"""The cache of rows: what it keeps, and how much."""

from neural_hive.streams.kernel.row_cache import ABSENT, ENTRY_BYTES, RowCache

ROW_BYTES = 800
ENTRY = ROW_BYTES + ENTRY_BYTES + 4


def _key(number: int) -> bytes:
    return f"{number:04}".encode()


def test_however_much_was_seen_it_keeps_no_more_than_its_limit() -> None:
    cache = RowCache(100 * ENTRY)
    for number in range(10_000):
        cache.put(_key(number % 9_999), number, ROW_BYTES)
        assert len(cache) <= 102
    assert len(cache) >= 50
    assert cache.get(_key(9_998)) == 9_998


def test_what_is_used_again_stays() -> None:
    cache = RowCache(100 * ENTRY)
    cache.put(b"used", "value", ROW_BYTES)
    for number in range(5_000):
        cache.put(_key(number), number, ROW_BYTES)
        if number % 20 == 0:
            assert cache.get(b"used") == "value"
    for number in range(200):
        cache.put(_key(number), number, ROW_BYTES)
    assert cache.get(b"used") is ABSENT


def test_one_that_is_written_again_counts_once_with_its_new_size() -> None:
    cache = RowCache(100 * ENTRY)
    cache.put(b"kept", "value", ROW_BYTES)
    for number in range(10_000):
        cache.put(b"hot!", number, ROW_BYTES)
    assert cache.get(b"kept") == "value"
    for number in range(60):
        cache.put(b"hot!", number, ROW_BYTES * 1_000)  # more than the limit: it and nothing else
    assert cache.get(b"hot!") == 59
    assert cache.get(b"kept") is ABSENT


def test_nothing_is_a_value_too() -> None:
    cache = RowCache(100 * ENTRY)
    cache.put(b"gone", None, 0)
    assert cache.get(b"gone") is None
    assert cache.get(b"never") is ABSENT
